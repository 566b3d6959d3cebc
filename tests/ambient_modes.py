"""What a caller may have set around a call, by name; each leaves the process as it found it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

Mode = Callable[[], AbstractContextManager[Any]]


@contextmanager
def _set(write: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    write(value)
    try:
        yield
    finally:
        write(before)


def _setting(write: Callable[[Any], object], value: Any, before: Any) -> Mode:
    return lambda: _set(write, value, before)


@contextmanager
def _drawn() -> Iterator[None]:
    """Global generators somewhere else than where the process began."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(5), np.random.seed(7), torch.manual_seed(9)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _mkldnn(enabled: bool) -> None:
    torch.backends.mkldnn.enabled = enabled


AMBIENT_MODES: Mapping[str, Mode] = {
    "bfloat16": _setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "float16": _setting(torch.set_default_dtype, torch.float16, torch.float32),
    "float64": _setting(torch.set_default_dtype, torch.float64, torch.float32),
    "default device": _setting(torch.set_default_device, "meta", None),
    "with device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": _setting(torch.use_deterministic_algorithms, True, False),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "matmul precision": _setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "no mkldnn": _setting(_mkldnn, False, True),
    "numpy raises": lambda: np.errstate(all="raise"),
    "parametrize.cached": parametrize.cached,
    "numpy prints": lambda: np.printoptions(precision=1, legacy="1.25"),
    "random state": _drawn,
}


@contextmanager
def together(*names: str) -> Iterator[None]:
    """Within the context all of these are set."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(AMBIENT_MODES[name]())
        yield


def nested_autocasts() -> int:
    """Return how many contexts of autocast are open."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def what_is_set() -> tuple[Any, ...]:
    """Return all of it, as it is now, with where the random generators are."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        nested_autocasts(),
        torch.get_deterministic_debug_mode(),
        torch.is_anomaly_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
        torch.get_num_threads(),
        np.geterr(),
        np.get_printoptions()["precision"],
        random.getstate(),
        np.random.get_state()[1].tobytes(),
        torch.get_rng_state().numpy().tobytes(),
    )
