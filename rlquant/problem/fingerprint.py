"""Fingerprints of networks and objectives: equal ones may share stored scores."""

from __future__ import annotations

import argparse
import copyreg
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum
from functools import cached_property, partial
from inspect import getattr_static
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from rlquant.copying.references import attributes
from rlquant.cost.file_layout import NOT_NEEDED
from rlquant.errors import SettingsError
from rlquant.objective import FunctionObjective, Objective
from rlquant.problem.code_facts import CYTHON, instructions, interface, library, referred
from rlquant.samples import fingerprint_tensors

_OF_EVERY_MODULE = vars(nn.Module()).keys() - {"training"}
_PLAIN: tuple[Any, ...] = (
    *(type(None), bool, int, float, complex, str, bytes),
    *(torch.dtype, torch.device),
)
_TOLD_BY_TEXT = (
    *(torch._ops.OpOverload, torch._ops.OpOverloadPacket, np.ufunc),
    *(torch.finfo, torch.iinfo),
)
_BOOKKEEPING = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__dataclass_fields__", "__annotate_func__"),
    *("__annotations_cache__", "__classdictcell__"),
}

_PER_PROCESS = {"_original_object_hash"}
"""Attributes that are another number in every process: transformers' `GenerationConfig`, which
every language model of Hugging Face has, keeps a hash of itself."""


def fingerprint(*parts: Any) -> str:
    """Return a hash of `parts` (see `describe`), the same in every process (hex)."""
    return hashlib.blake2b(repr(describe(parts)).encode(), digest_size=16).hexdigest()


def describe(value: Any) -> Any:
    """Return what stands for a value: plain tuples with the same `repr` in every process.

    Networks count with classes, attributes and tensors; tensors, arrays, collections and
    dataclasses with their contents; the user's own functions and classes with their code and with
    what they refer to, his other objects with their attributes; functions and classes of an
    installed library with their name alone, its other objects with what pickle would keep of them.
    """
    return _Description().of(value)


def describe_objective(objective: Objective) -> Any:
    """Return name, code and attributes of an objective; its version for code where it states one.

    A version is an attribute `version`, a word or a whole number.
    """
    function = _function_of(objective)
    version = _version(function)
    return objective.name, version, _Description(by_code=version is None).of(function)


def require_told_apart(objective: Objective) -> None:
    """Raise `SettingsError` where nothing tells an objective from another one of its name."""
    function = _function_of(objective)
    if _version(function) is not None:
        return
    description = _Description()
    description.of(function)
    hidden = description.hidden or ([] if _is_python(function) else ["it"])
    if hidden:
        raise SettingsError(
            f"objective {objective.name!r}: {hidden[0]} has no Python code that could be compared, "
            f"so a store would give its scores to others of that name; give an objective with an "
            f"attribute `version` (a word or a number), to be changed whenever the objective is, "
            f"or use neither store nor out"
        )


def _function_of(objective: Objective) -> Any:
    return objective.function if isinstance(objective, FunctionObjective) else objective


def _version(function: Any) -> str | int | None:
    version = getattr(function, "version", None)
    return version if isinstance(version, (str, int)) else None


def _is_python(function: Any) -> bool:
    """Return whether the function is written in Python."""
    while isinstance(function, partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, partial) else function.__wrapped__
    plain = isinstance(function, (FunctionType, MethodType, nn.Module))
    return plain or isinstance(getattr_static(type(function), "__call__", None), FunctionType)


class _Description:
    """Describes values, each module that a network has registered by its name in there.

    Args:
        by_code: whether the user's functions and classes count with their code, else by name.

    Attributes:
        hidden: the names of callables whose code cannot be seen.
    """

    def __init__(self, *, by_code: bool = True) -> None:
        self.hidden: list[str] = []
        self._by_code = by_code
        self._open: set[int] = set()
        self._registered: dict[int, str] = {}
        self._told: dict[int, tuple[int, Any]] = {}

    def of(self, value: Any) -> Any:
        """Describe a value; one that contains itself ends where it comes again."""
        match value:
            case Enum():
                return self._class(type(value)), value.name, self.of(value.value)
            case _ if type(value) in _PLAIN:
                return value
            case type():
                return self._class(value)
            case FunctionType():
                return self._once(value, self._function)
            case ModuleType():
                return self._once(value, self._module)
        if id(value) in self._registered:
            return "module", self._registered[id(value)]
        if id(value) in self._open:
            return "itself"
        self._open.add(id(value))
        try:
            own = library(type(value).__module__) is None and not isinstance(value, nn.Module)
            held = self.of(_attributes(value)) if own else None
            return self._class(type(value)), self._contents(value), held
        finally:
            self._open.remove(id(value))

    def _contents(self, value: Any) -> Any:
        match value:
            case nn.Module():
                return self._network(value)
            case Tensor():
                return _tensor(value)
            case np.ma.MaskedArray():
                return self._array(value.filled()), self._array(np.ma.getmaskarray(value))
            case np.ndarray() | np.generic():
                return self._array(np.asarray(value))
            case _ if isinstance(value, _PLAIN):  # of a class that is derived from theirs
                return next(kind.__repr__(value) for kind in _PLAIN if isinstance(value, kind))
            case Mapping():
                kept = ((k, v) for k, v in value.items() if k not in _PER_PROCESS)
                return sorted((repr(self.of(k)), self.of(v)) for k, v in kept)
            case Sequence():
                return [self.of(item) for item in value]
            case Set():
                return sorted(repr(self.of(item)) for item in value)
            case partial():
                return self.of(value.func), self.of(value.args), self.of(value.keywords)
            case MethodType():
                return self.of(value.__func__), self.of(value.__self__)
            case CodeType():
                return self._code(value)
            case SimpleNamespace() | argparse.Namespace():
                return self.of(vars(value))
            case property():
                return self.of(value.fget)
            case cached_property():
                return self.of(value.func)
            case classmethod() | staticmethod():
                return self.of(value.__func__)
        if dataclasses.is_dataclass(value):
            return [(f.name, self.of(getattr(value, f.name))) for f in dataclasses.fields(value)]
        if library(type(value).__module__) is None:
            return None
        return self._foreign(value)

    def _foreign(self, value: Any) -> Any:
        """Describe an object of a library that is none of the usual ones."""
        if hasattr(value, "__array__"):  # such as a table of pandas
            return self._array(np.asarray(value))
        if isinstance(value, _TOLD_BY_TEXT):
            return str(value)
        if hasattr(value, "__wrapped__"):  # by functools.cache, for instance
            return self.of(value.__wrapped__)
        if not callable(value) and not hasattr(value, "__qualname__"):
            return self.of(_pickled(value))
        if isinstance(value, BuiltinFunctionType) or library(type(value).__module__) == CYTHON:
            return self._builtin(value)
        if getattr(value, "__dict__", None):
            return self.of(vars(value))
        name = _name(value) if hasattr(value, "__qualname__") else _name(type(value))
        if isinstance(value, (MemberDescriptorType, GetSetDescriptorType)):  # such as a slot
            return name
        if library(getattr(value, "__objclass__", type(value)).__module__) != "builtins":
            self.hidden.append(name)
        return name

    def _builtin(self, function: Any) -> Any:
        """Describe a function in C; a library's is known by its name, with what it is bound to."""
        owner = getattr(function, "__self__", None)
        module = function.__module__ or type(owner).__module__
        if library(module) is None or module.startswith("ctypes"):
            self.hidden.append(_name(function))
        return _name(function), None if isinstance(owner, (ModuleType, type)) else self.of(owner)

    def _network(self, network: nn.Module) -> Any:
        modules = list(network.named_modules())
        self._registered |= {id(module): name for name, module in modules}
        buffers = {n: b for n, b in network.named_buffers() if not n.endswith(NOT_NEEDED)}
        tensors = {**dict(network.named_parameters()), **buffers}
        return (
            str(network),
            [(name, self._class(type(m)), self._attributes(m)) for name, m in modules],
            [(name, _tensor(tensor)) for name, tensor in sorted(tensors.items())],
        )

    def _attributes(self, module: nn.Module) -> Any:
        own = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
        traced = isinstance(module, (fx.GraphModule, torch.jit.ScriptModule))
        written = str(module.code) if traced else None  # by torch, for each network again
        return self.of(own), [self.of(hook) for hook in hooks], written

    # --- code

    def _once(self, value: Any, tell: Callable[[Any], Any]) -> Any:
        """Describe what many may refer to where it comes first, later by its number."""
        if id(value) in self._told:
            return "again", self._told[id(value)][0]
        self._told[id(value)] = len(self._told), value
        return tell(value)

    def _function(self, function: FunctionType) -> Any:
        inner = [_content(cell) for cell in function.__closure__ or ()]
        bound = function.__defaults__, function.__kwdefaults__, inner, vars(function)
        described = _name(function), self.of(bound)
        if not self._by_code or library(function.__module__) is not None:
            return described
        return *described, self._code(function.__code__), self.of(referred(function))

    def _code(self, code: CodeType) -> Any:
        steps = [(operation, self.of(about)) for operation, about in instructions(code)]
        return interface(code), steps

    def _class(self, kind: type) -> Any:
        installed = library(kind.__module__)
        if installed is not None or not self._by_code:
            return f"{_name(kind)} ({installed})"
        return self._once(kind, self._own_class)

    def _own_class(self, kind: type) -> Any:
        parts = {k: v for k, v in vars(kind).items() if k not in _BOOKKEEPING}
        bases = [self._class(base) for base in kind.__bases__]
        meta = self._class(type(kind))
        return _name(kind), meta, bases, [(name, self.of(parts[name])) for name in sorted(parts)]

    def _module(self, module: ModuleType) -> Any:
        """Describe a module; one of the user's with what is defined in it."""
        name = "__main__" if module.__name__ == "__mp_main__" else module.__name__
        if library(name) is not None or not self._by_code:
            return name
        parts = {k: v for k, v in vars(module).items() if not k.startswith("__")}
        own = [k for k, v in parts.items() if isinstance(v, _PLAIN) or _module_of(v) == name]
        return name, [(k, self.of(parts[k])) for k in sorted(own)]

    def _array(self, array: np.ndarray[Any, Any]) -> Any:
        if array.dtype.hasobject:
            return str(array.dtype), self.of(array.tolist())
        digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16)
        return str(array.dtype), array.shape, digest.hexdigest()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return "empty"


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots as well."""
    found = attributes(value)
    cached = {k for k in found if isinstance(getattr_static(type(value), k, None), cached_property)}
    return {k: v for k, v in found.items() if k not in _BOOKKEEPING and k not in cached}


def _pickled(value: Any) -> Any:
    """Return what pickle would make a value again from, None for what cannot be pickled."""
    try:
        registered = copyreg.dispatch_table.get(type(value))
        return value.__reduce_ex__(2) if registered is None else registered(value)
    except (TypeError, ValueError, AttributeError, RuntimeError):  # a lock, a generator
        return None


def _tensor(tensor: Tensor) -> str:
    dense = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return str(tensor.shape) if tensor.is_meta else fingerprint_tensors([dense])


def _module_of(value: Any) -> str:
    module = str(getattr(value, "__module__", ""))
    return "__main__" if module == "__mp_main__" else module


def _name(named: Any) -> str:
    """Return module and name; what a script defines has the same one in a process it spawns."""
    return f"{_module_of(named)}.{named.__qualname__}"
