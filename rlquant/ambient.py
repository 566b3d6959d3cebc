"""Ambient state of PyTorch: isolation of public calls from what a caller has set.

Default type and device, autocast, gradient and inference mode, the switches of PyTorch's backends,
NumPy's error handling and the C library's allocator belong to the caller, and so do the global
random generators. What is public here computes inside `isolated`: as in a process in which nobody
has set anything, but for freed memory, which is kept for what comes next. The caller finds all of
it as it was, also when an exception passes.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import overrides
from torch.backends import cuda
from torch.nn.utils import parametrize
from torch.utils._device import DeviceContext

from rlquant.allocator import Allocator

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """One thing that is set around a computation: how to read and write it, and what we want."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    ours: Any


Found = list[tuple[_Setting, Any]]
"""Settings that were not as ours, with what they were, in the order in which they were changed."""


def _make_ours(settings: Iterable[_Setting], found: Found) -> None:
    """Set what is not as ours, and note what it was."""
    for setting in settings:
        value = setting.read()
        if value != setting.ours:
            found.append((setting, value))
            setting.write(setting.ours)


def _put_back(found: Found) -> None:
    while found:
        setting, value = found.pop()
        setting.write(value)


_ERRSTATE: Any = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


# --- settings of the whole process


def _attribute(owner: Any, name: str, ours: Any) -> _Setting:
    return _Setting(partial(getattr, owner, name), partial(setattr, owner, name), ours)


def _backends(*paths: str, ours: Any) -> Iterator[_Setting]:
    """Yield the settings `torch.backends.<path>` that this PyTorch knows."""
    for path in paths:
        owner: Any = torch.backends
        *modules, name = path.split(".")
        for module in modules:
            owner = getattr(owner, module, None)
        if hasattr(owner, name):
            yield _attribute(owner, name, ours)


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # was set for single backends, which are looked at one by one
        return "highest"


def _whole_float32(setting: _Setting) -> _Setting:
    """Return a setting that takes "ieee" for "none", as "highest" leaves it."""
    return _Setting(lambda: setting.read().replace("ieee", "none"), setting.write, setting.ours)


_ALLOCATOR = Allocator()
_MATMULS = _backends("mkldnn.matmul.fp32_precision", "cuda.matmul.fp32_precision", ours="none")
_OF_THE_PROCESS = (
    _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    _Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
    _Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled, False),
    # Inside `parametrize.cached()` a weight in training would stay that of the first step.
    _attribute(parametrize, "_cache_enabled", 0),
    _Setting(_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    *_backends("fp32_precision", "mkldnn.fp32_precision", "cudnn.fp32_precision", ours="none"),
    *map(_whole_float32, _MATMULS),
    *_backends("mkldnn.conv.fp32_precision", "mkldnn.rnn.fp32_precision", ours="none"),
    *_backends("cudnn.conv.fp32_precision", "cudnn.rnn.fp32_precision", ours="tf32"),
    *_backends("mkldnn.enabled", "cudnn.enabled", ours=True),
    *_backends("mkldnn.deterministic", "cudnn.deterministic", "cudnn.benchmark", ours=False),
    _Setting(cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True),
    _Setting(cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True),
    _Setting(cuda.math_sdp_enabled, cuda.enable_math_sdp, True),
    # Else most of the time of a network with large activations is the system's, emptying pages.
    _attribute(_ALLOCATOR, "keeps", True),
)


class _Process:
    """Settings of the whole process, ours while any thread computes.

    Who leaves while another thread still computes cannot put anything back yet: the last one does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depths: Counter[int] = Counter()
        self._left: Found = []

    def enter(self) -> Found:
        """Make the settings ours; return what they were."""
        found: Found = []
        with self._lock:
            self._depths[threading.get_ident()] += 1
            _make_ours(_OF_THE_PROCESS, found)
        return found

    def leave(self, found: Found) -> None:
        """Put back what `enter` found, now or when the last thread leaves."""
        thread = threading.get_ident()
        with self._lock:
            self._depths[thread] -= 1
            if not self._depths[thread]:
                del self._depths[thread]
            if len(self._depths) > (thread in self._depths):
                self._left += found
                return
            _put_back(found)
            if not self._depths:
                _put_back(self._left)


_PROCESS = _Process()


# --- settings of the thread


def _autocast(kind: str) -> _Setting:
    read = partial(torch.is_autocast_enabled, kind)
    return _Setting(read, partial(torch.set_autocast_enabled, kind), False)


def _autocast_nesting() -> int:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def _set_autocast_nesting(depth: int) -> None:
    while _autocast_nesting() < depth:
        torch.autocast_increment_nesting()
    while _autocast_nesting() > depth:
        torch.autocast_decrement_nesting()


_OF_THE_THREAD = (
    *map(_autocast, ("cpu", "cuda", "xpu", "mps")),
    # A network may open autocast itself. Inside of another one PyTorch keeps the weights that were
    # cast until that one ends: each training step would see those of the first.
    _Setting(_autocast_nesting, _set_autocast_nesting, 0),
)


@contextmanager
def _no_default_device() -> Iterator[None]:
    """Take the default device away: what names no device is made on the CPU."""
    modes = _exchange_modes([])
    _exchange_modes([mode for mode in modes if not isinstance(mode, DeviceContext)])
    try:
        yield
    finally:
        _exchange_modes(modes)


def _exchange_modes(modes: Iterable[Any]) -> list[Any]:
    """Make these the thread's modes of torch functions, innermost last; return what they were."""
    stack: Any = overrides
    popped = [stack._pop_mode() for _ in range(stack._len_torch_function_stack())]
    for mode in modes:
        stack._push_mode(mode)
    return popped[::-1]


# --- all of it


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Within the context, or the decorated function, nothing depends on what is set around it.

    Gradients are recorded, float32 is the default type and the CPU the default device, autocast is
    off and the backends compute as they do where nobody has set anything. What the process shares
    (default type, switches of backends) its other threads see changed meanwhile.

    Args:
        seed: of the global random generators, see `seeded`; None where nothing draws from them.
    """
    own: Found = []
    shared = _PROCESS.enter()
    try:
        _make_ours(_OF_THE_THREAD, own)
        with (
            torch.inference_mode(False),
            _no_default_device(),
            np.errstate(**_ERRSTATE),
            nullcontext() if seed is None else seeded(seed),
        ):
            yield
    finally:
        _put_back(own)
        _PROCESS.leave(shared)


def isolated_steps(steps: Iterator[T]) -> Iterator[T]:
    """Yield what an iterator gives, each step taken inside `isolated`, and nothing between them."""
    while True:
        with isolated():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


# --- the global random generators


@dataclass(frozen=True, slots=True, eq=False)
class _Generators:
    """Where the global generators are: Python's, NumPy's, PyTorch's, and those of GPUs in use."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    gpus: list[torch.Tensor] | None

    @classmethod
    def now(cls) -> _Generators:
        gpus: Any = torch.cuda
        states = gpus.get_rng_state_all() if gpus.is_initialized() else None
        return cls(
            random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state(), states
        )

    def put_back(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.gpus is not None:
            torch.cuda.set_rng_state_all(self.gpus)
        else:  # seeded when a GPU is first used, with what was asked last
            torch.cuda.manual_seed_all(torch.initial_seed())


class _Callers(threading.local):
    """Where `seeded` found the generators, the outermost one first."""

    def __init__(self) -> None:
        self.found: list[_Generators] = []


_CALLERS = _Callers()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the context the global random generators go on from `seed`, then as if nothing was.

    Args:
        seed: 0 to 2**64 - 1.
    """
    found = _CALLERS.found
    found.append(_Generators.now())
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        if found[-1].gpus is not None:
            torch.cuda.manual_seed_all(seed)
        yield
    finally:
        found.pop().put_back()


@contextmanager
def callers_generators() -> Iterator[None]:
    """Within the context the global random generators are the caller's, for what he is told.

    What a callback draws comes from his own generators, and moves neither a search nor a training.
    """
    found = _CALLERS.found
    if not found:
        yield
        return
    ours, _CALLERS.found = _Generators.now(), []
    found[0].put_back()
    try:
        yield
    finally:
        found[0], _CALLERS.found = _Generators.now(), found
        ours.put_back()


@contextmanager
def torch_generator_kept() -> Iterator[None]:
    """Leave PyTorch's generator where it was; some networks seed it in their own forward."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
