"""Fingerprints of Python functions by their compiled code, without line numbers or comments."""

from __future__ import annotations

import argparse
import dis
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

_OURS = ("rlquant", "rlquant_envs", "rlquant_agents")
CYTHON = "_cython_"
"""Begins the module of the class of Cython's functions."""
_SCRIPTS = ("__main__", "__mp_main__")  # the second in processes that the first spawns
_INSTALLED = {"site-packages", "dist-packages"}
_NAMESPACES = (ModuleType, argparse.Namespace, SimpleNamespace)
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_KINDS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
_UNUSED = ("CACHE", "RESUME", "NOP", "EXTENDED_ARG", "PRECALL")


def library(module: str | None) -> str | None:
    """Return the name of an installed library with its version, None for the user's own modules.

    Of what is installed the name says enough. The versions of Python and torch, and our own, are
    not part of it: `EVALUATION_VERSION` is raised where ours matters.
    """
    top = (module or "").partition(".")[0]
    if top in sys.stdlib_module_names or top in (*_OURS, "torch", "numpy"):
        return top
    if top.startswith(CYTHON):
        return CYTHON
    loaded = sys.modules.get(top)
    file = getattr(loaded, "__file__", None)
    if file is None or top in _SCRIPTS or not _is_installed(file):
        return None
    return f"{top} {getattr(loaded, '__version__', '')}"


@cache
def _is_installed(file: str) -> bool:
    """Return whether an installer wrote a top-level module, also by `pip install --target`."""
    path = Path(file)
    folder = path.parent.parent if path.stem == "__init__" else path.parent
    return bool(_INSTALLED & set(path.parts)) or any(folder.glob("*.dist-info"))


def instructions(code: CodeType) -> list[tuple[str, Any]]:
    """Return a function's instructions with what they are about: constants, names, targets.

    Constants are values, code in code included. What is not used, such as docstrings, is missing.
    """
    return [(i.opname, i.argval) for i in dis.get_instructions(code) if i.opname not in _UNUSED]


def interface(code: CodeType) -> tuple[Any, ...]:
    """Return how code takes its arguments and handles exceptions."""
    arguments = code.co_argcount + code.co_kwonlyargcount
    return (
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        code.co_varnames[:arguments],
        code.co_flags & _KINDS,
        getattr(code, "co_exceptiontable", b""),
    )


def referred(function: FunctionType) -> dict[str, Any]:
    """Return the values outside a function that its code refers to, by the name it uses.

    Of modules and namespaces they are the attributes that are used; names that the code itself
    assigns are its state and left out, as are those that begin and end with two underscores.
    """
    found: dict[str, Any] = {}
    for code in _with_nested(function.__code__):
        steps = instructions(code)
        for place, (operation, name) in enumerate(steps):
            if operation in ("LOAD_GLOBAL", "LOAD_NAME") and name in function.__globals__:
                used = _attributes(steps, place)
                found.update(_resolved(name, function.__globals__[name], used))
            elif operation == "IMPORT_NAME" and name in sys.modules and library(name) is None:
                parts = [[part] for other, part in steps if other == "IMPORT_FROM"]
                for used in parts or [[]]:
                    found.update(_resolved(name, sys.modules[name], used))
    own = {n for c in _with_nested(function.__code__) for o, n in instructions(c) if "STORE_G" in o}
    return {k: v for k, v in found.items() if k not in own and not _is_special(k)}


def _attributes(steps: list[tuple[str, Any]], place: int) -> list[str]:
    """Return the attributes that are taken one after the other of what is loaded at a place."""
    names: list[str] = []
    for operation, name in steps[place + 1 :]:
        if operation not in _ATTRIBUTES:
            break
        names.append(name)
    return names


def _resolved(name: str, value: Any, attributes: list[str]) -> Iterator[tuple[str, Any]]:
    """Follow attributes through the user's own modules and namespaces."""
    for attribute in attributes:
        is_library = isinstance(value, ModuleType) and library(value.__name__) is not None
        if is_library or not isinstance(value, _NAMESPACES) or not hasattr(value, attribute):
            break
        name, value = f"{name}.{attribute}", getattr(value, attribute)
    yield name, value


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
