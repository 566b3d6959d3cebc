"""Public calls with arguments that make no sense: one clear error, or an answer."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from rlquant_experiments.faults import toys
from rlquant_experiments.faults.calls import CALLS, Call
from rlquant_experiments.faults.campaign import Fault, Trial, fault_of
from rlquant_experiments.faults.watch import harmless

CPU_SECONDS = 20.0

ODD: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "2": lambda: 2,
    "10**12": lambda: 10**12,
    "10**400": lambda: 10**400,
    "-(10**5000)": lambda: -(10**5000),
    "0.5": lambda: 0.5,
    "1e308": lambda: 1e308,
    "nan": lambda: math.nan,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "np.float32(nan)": lambda: np.float32("nan"),
    "np.int64(3)": lambda: np.int64(3),
    "''": lambda: "",
    "'x'": lambda: "x",
    "a NUL": lambda: "x\x00y",
    "half a pair": lambda: "\ud800",
    "a long text": lambda: "a" * 5000,
    "markup": lambda: "[/x]",
    "b''": lambda: b"",
    "bytes": lambda: b"\xff\x00",
    "[]": list,
    "()": lambda: (),
    "{}": dict,
    "set()": set,
    "[None]": lambda: [None],
    "a long list": lambda: list(range(5000)),
    "nested": lambda: [[["x"]]],
    "{'x': 1}": lambda: {"x": 1},
    "an exhausted iterator": lambda: iter([]),
    "object()": object,
    "a class": lambda: int,
    "a function": lambda: lambda *given, **named: None,
    "an empty array": lambda: np.array([]),
    "an array of objects": lambda: np.array([None, "x"], dtype=object),
    "an empty tensor": lambda: torch.empty(0),
    "a scalar tensor": lambda: torch.tensor(3),
    "a tensor of NaN": lambda: torch.full((6, 8), math.nan),
    "a tensor of another shape": lambda: torch.ones(2, 3, 4, 5),
    "an integer tensor": lambda: torch.ones(6, 8, dtype=torch.int64),
    "a complex tensor": lambda: torch.ones(6, 8, dtype=torch.complex64),
    "a tensor on meta": lambda: torch.ones(6, 8, device="meta"),
    "a layer": lambda: nn.Linear(2, 2),
    "a network without layers": lambda: nn.Sequential(nn.ReLU()),
    "data of another width": lambda: (torch.ones(50, 5), torch.zeros(50, dtype=torch.int64)),
    "data without samples": lambda: (torch.ones(0, 6), torch.zeros(0, dtype=torch.int64)),
    "data of one sample": lambda: toys.data(1, seed=4),
    "data of text": lambda: [("x", "y")],
    "a configuration": lambda: toys.CONFIG,
    "a budget": lambda: toys.BUDGET,
    "a path": lambda: Path("missing/x"),
    "a path that is too long": lambda: Path("x" * 400),
    "a folder": lambda: Path(),
}
"""Values that some caller passes by mistake, each made again."""
CALLED = {"objective", "reward", "watch", "callback"}
"""Parameters that are functions of the user."""
WORK = {"episodes", "evaluations", "epochs", "steps"}
"""Parameters of which any number is work that somebody may want done."""


@dataclass(frozen=True, slots=True)
class OddArguments:
    """Gives a public call one or two odd values; consecutive seeds go through calls."""

    calls: Sequence[Call] = tuple(CALLS.values())
    name: str = "odd-arguments"
    promise: str = (
        "a public call that is given anything at all in place of an argument answers, or raises "
        "an RlquantError of at most 500 characters; in less than 20 s of CPU time and 1 GiB"
    )
    share: float = 3.0
    limit: float = 120.0

    def trial(self, seed: int) -> Trial:
        """Return the call that a seed decides."""
        draw = random.Random(seed)
        call = self.calls[seed % len(self.calls)]
        values = {name: draw.choice(_values(name)) for name in _parameters(call, draw)}
        told = ", ".join(f"{name}={value}" for name, value in values.items())
        return Trial(f"{call.name}({told})", seed, partial(_try, call, values))


def _values(parameter: str) -> list[str]:
    """Return the names of the values for a parameter: hours of work are not asked for."""
    if parameter in WORK:
        return [value for value in ODD if not value.startswith("10**")]
    if parameter in CALLED:  # errors of the user's own functions are passed on
        return [value for value in ODD if not callable(ODD[value]())]
    return list(ODD)


def _parameters(call: Call, draw: random.Random) -> list[str]:
    """Choose one or two of a call's parameters."""
    named = [
        name
        for name, parameter in inspect.signature(call.function).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    return draw.sample(named, min(len(named), draw.choice((1, 1, 1, 2))))


def _try(call: Call, values: Mapping[str, str], folder: Path) -> Fault:
    arguments = call.arguments(folder)
    arguments |= {name: ODD[value]() for name, value in values.items()}
    try:
        with harmless(folder, cpu_seconds=CPU_SECONDS):
            call.function(**arguments)
    except Exception as error:  # what may come out is for `fault_of` to say
        fault = fault_of(error, allowed=(gymnasium.error.Error,))  # its own rules for seeds
        return None if fault is None else f"{call.name}({', '.join(values)}): {fault}"
    return None
