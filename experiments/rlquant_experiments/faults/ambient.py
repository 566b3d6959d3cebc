"""Public calls under ambient modes of the program around: the result is that of outside."""

from __future__ import annotations

import dataclasses
import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlquant import QuantizationConfig
from rlquant_experiments.faults.calls import CALLS, Call
from rlquant_experiments.faults.campaign import Fault, Trial

Mode = Callable[[], AbstractContextManager[Any]]


@contextmanager
def _changed(change: Callable[[Any], object], value: Any, back: Any) -> Iterator[None]:
    change(value)
    try:
        yield
    finally:
        change(back)


@contextmanager
def _anomalies_detected() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detection = torch.autograd.detect_anomaly()  # warns that it is slow
    with detection:
        yield


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@contextmanager
def _other_seeds() -> Iterator[None]:
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    yield


@contextmanager
def _printed_short() -> Iterator[None]:
    set_options: Callable[..., None] = torch.set_printoptions
    set_options(precision=1, threshold=1)
    try:
        with np.printoptions(precision=1, threshold=1):
            yield
    finally:
        set_options(profile="default")


@contextmanager
def _elsewhere() -> Iterator[None]:
    before = Path.cwd()
    os.chdir("/")
    try:
        yield
    finally:
        os.chdir(before)


MODES: Mapping[str, Mode] = {
    "default dtype bfloat16": lambda: _changed(
        torch.set_default_dtype, torch.bfloat16, torch.float32
    ),
    "default dtype float16": lambda: _changed(
        torch.set_default_dtype, torch.float16, torch.float32
    ),
    "default dtype float64": lambda: _changed(
        torch.set_default_dtype, torch.float64, torch.float32
    ),
    "default device meta": lambda: _changed(torch.set_default_device, "meta", None),
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "deterministic algorithms": lambda: _changed(torch.use_deterministic_algorithms, True, False),
    "anomaly detection": _anomalies_detected,
    "two threads": lambda: _changed(torch.set_num_threads, 2, 1),
    "lower matmul precision": lambda: _changed(
        torch.set_float32_matmul_precision, "medium", "highest"
    ),
    "NumPy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": _warnings_as_errors,
    "other seeds": _other_seeds,
    "short printing": _printed_short,
    "another working folder": _elsewhere,
}
"""What a program around may have set, by name; all are left as they were found."""


def surroundings() -> dict[str, Any]:
    """Return the state that a call must leave as it is."""
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "NumPy's errors": np.geterr(),
        "working folder": Path.cwd(),
        "environment": dict(os.environ),
        "torch's random state": torch.random.get_rng_state().tolist(),
        "NumPy's random state": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "Python's random state": random.getstate(),
        "warning filters": list(warnings.filters),
    }


@dataclass(frozen=True, slots=True)
class Ambient:
    """Makes a public call under a mode; consecutive seeds go through calls and modes."""

    calls: Sequence[Call] = tuple(CALLS.values())
    name: str = "ambient"
    promise: str = (
        "a public call gives the same result, bit for bit, whatever default dtype, default device, "
        "autocast, grad mode, seeds and flags the program around has set, and leaves all of them"
    )
    share: float = 2.0
    limit: float = 180.0

    def trial(self, seed: int) -> Trial:
        """Return the call and the mode that a seed decides."""
        turn, index = divmod(seed, len(self.calls))
        call, modes = self.calls[index], list(MODES)
        mode = modes[(turn + index) % len(modes)]
        return Trial(f"{call.name} under {mode}", seed, partial(_try, call, mode))


def _try(call: Call, mode: str, folder: Path) -> Fault:
    expected = _undisturbed(call, folder.parent / f"ambient-{os.getpid()}")
    arguments = call.arguments(folder)
    try:
        with MODES[mode]():
            _draw()
            before = surroundings()
            found = call.function(**arguments)
            after = surroundings()
        found = plain(found, folder)
    except Exception as error:  # refused or raw: both are other than outside
        return f"{call.name} under {mode}: {type(error).__name__}\n  {error}"
    changed = [name for name, value in before.items() if after[name] != value]
    if changed:
        return f"{call.name} under {mode}: it changes {', '.join(changed)}"
    if found != expected:
        return f"{call.name} under {mode}: another result than outside"
    return None


def _draw() -> None:
    """Move all random states on, so that one that is set shows."""
    random.random()
    np.random.random()
    torch.rand((), device="cpu")


@cache
def _undisturbed(call: Call, scratch: Path) -> Any:
    folder = scratch / call.name
    folder.mkdir(parents=True)
    return plain(call(folder), folder)


def plain(value: Any, folder: Path) -> Any:
    """Return what stands for a result, bit for bit; paths in `folder` without it."""
    again = partial(plain, folder=folder)
    match value:
        case Tensor():
            content = value.detach().contiguous().cpu().view(-1)
            return str(value.dtype), tuple(value.shape), content.numpy().tobytes()
        case np.ndarray():
            return str(value.dtype), value.shape, value.tolist()
        case nn.Module():
            return {name: again(tensor) for name, tensor in value.state_dict().items()}
        case float() | np.floating():
            return float(value).hex()
        case QuantizationConfig():
            return value.key
        case Mapping():
            return {str(key): again(inner) for key, inner in value.items()}
        case str() | Path():
            return str(value).replace(str(folder), "")
        case bytes() | int() | None:
            return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if "seconds" not in f.name]
        return {name: again(getattr(value, name)) for name in names}
    if isinstance(value, Iterable):
        return [again(inner) for inner in value]
    return type(value).__name__
