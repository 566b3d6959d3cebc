"""What identifies a network and an objective: equal fingerprints may share stored scores."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from functools import partial
from types import CodeType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.cost.file_layout import NOT_NEEDED
from rlquant.data import fingerprint_tensors
from rlquant.score import FunctionObjective, Objective

_OF_EVERY_MODULE = vars(nn.Module()).keys() - {"training"}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)


def fingerprint(*parts: Any) -> str:
    """Return a hash of `parts` (see `describe`), the same in every process (hex)."""
    return hashlib.blake2b(repr(describe(parts)).encode(), digest_size=16).hexdigest()


def describe_objective(objective: Objective) -> Any:
    """Return name, class and attributes of an objective."""
    judge = objective.function if isinstance(objective, FunctionObjective) else objective
    return objective.name, describe(judge), describe(getattr(judge, "__dict__", {}))


def describe(value: Any) -> Any:
    """Return what stands for a value: plain tuples with the same `repr` in every process.

    Networks count with classes, attributes and tensors; tensors, arrays, collections and
    dataclasses with their contents; functions with their name, or with their code where the name
    says nothing (lambdas and local functions); anything else with its class alone.
    """
    return _Description().of(value)


class _Description:
    """Describes values, each module that a network has registered by its name in there."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._registered: dict[int, str] = {}

    def of(self, value: Any) -> Any:
        """Describe a value; one that contains itself ends where it comes again."""
        if isinstance(value, Enum):
            return _class(value), value.name
        if isinstance(value, _PLAIN):
            return value
        if id(value) in self._registered:
            return "module", self._registered[id(value)]
        if id(value) in self._open:
            return "itself"
        self._open.add(id(value))
        try:
            return _class(value), self._contents(value)
        finally:
            self._open.remove(id(value))

    def _contents(self, value: Any) -> Any:
        match value:
            case nn.Module():
                return self._network(value)
            case Tensor():
                return _tensor(value)
            case np.ndarray() | np.generic():
                return str(value.dtype), self.of(value.tolist())
            case Mapping():
                return sorted((repr(self.of(k)), self.of(v)) for k, v in value.items())
            case Sequence():
                return [self.of(item) for item in value]
            case Set():
                return sorted(repr(self.of(item)) for item in value)
            case partial():
                return self.of(value.func), self.of(value.args), self.of(value.keywords)
            case MethodType():
                return self.of(value.__func__), self.of(value.__self__)
            case FunctionType():
                return self._function(value)
            case CodeType():
                return value.co_code, value.co_names, self.of(value.co_consts)
            case SimpleNamespace() | argparse.Namespace():
                return self.of(vars(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return [(f.name, self.of(getattr(value, f.name))) for f in dataclasses.fields(value)]
        return _name(value) if hasattr(value, "__qualname__") else None

    def _network(self, network: nn.Module) -> Any:
        modules = list(network.named_modules())
        self._registered |= {id(module): name for name, module in modules}
        buffers = {n: b for n, b in network.named_buffers() if not n.endswith(NOT_NEEDED)}
        tensors = {**dict(network.named_parameters()), **buffers}
        return (
            str(network),
            [(name, _class(module), self._attributes(module)) for name, module in modules],
            [(name, _tensor(tensor)) for name, tensor in sorted(tensors.items())],
        )

    def _attributes(self, module: nn.Module) -> Any:
        own = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
        return self.of(own), [self.of(hook) for hook in hooks]

    def _function(self, function: FunctionType) -> Any:
        name = _name(function)
        if "<" not in name:
            return name
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        return name, self.of(function.__code__), self.of(function.__defaults__), self.of(cells)


def _tensor(tensor: Tensor) -> str:
    dense = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return str(tensor.shape) if tensor.is_meta else fingerprint_tensors([dense])


def _class(value: Any) -> str:
    return _name(type(value))


def _name(named: Any) -> str:
    """Return module and name; what a script defines has the same one in a process it spawns."""
    module = str(getattr(named, "__module__", ""))
    return f"{'__main__' if module == '__mp_main__' else module}.{named.__qualname__}"
