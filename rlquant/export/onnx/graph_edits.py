"""Small edits of an ONNX graph: constants and nodes with names that are not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir


@dataclass
class GraphEditor:
    """Adds constants and nodes to a graph.

    Attributes:
        graph: the graph.
    """

    graph: ir.Graph
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._taken |= {name for name in self.graph.initializers if name}
        for node in self.graph:
            self._taken |= {value.name for value in node.outputs if value.name}
            self._taken |= {node.name} if node.name else set()
        self._taken |= {value.name for value in self.graph.inputs if value.name}

    def constant(
        self, name: str, numbers: npt.ArrayLike, dtype: ir.DataType | None = None
    ) -> ir.Value:
        """Return a new initializer; `dtype` where NumPy has no such type (INT2, INT4 ...)."""
        array = np.asarray(numbers)
        if dtype is not None:
            array = array.astype(dtype.numpy())
        name = self.free_name(name)
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        before: ir.Node,
        operator: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        dtype: ir.DataType = ir.DataType.FLOAT,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> ir.Value:
        """Insert a node with one output before another one; returns the output."""
        added = ir.node(
            operator, list(inputs), attributes or None, domain=domain, name=self.free_name(name)
        )
        output = added.outputs[0]
        output.name, output.type = self.free_name(f"{name}_out"), ir.TensorType(dtype)
        self.graph.insert_before(before, added)
        return output

    def free_name(self, name: str) -> str:
        """Return `name`, with a number where it is taken, and take it."""
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._taken.add(free)
        return free

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Have everything that uses `old` use `new`, the graph's outputs included."""
        for node, index in tuple(old.uses()):
            node.replace_input_with(index, new)
        outputs = self.graph.outputs
        for index, value in enumerate(outputs):
            if value is old:
                new.name, old.name = old.name, self.free_name(f"{old.name}_unused")
                new.shape, new.type = old.shape, old.type
                outputs[index] = new

    def remove_unused(self) -> None:
        """Remove nodes and constants that nothing uses."""
        kept = set(self.graph.outputs)
        for node in reversed(list(self.graph)):
            if not any(value.uses() or value in kept for value in node.outputs):
                self.graph.remove(node, safe=True)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and value not in kept:
                del self.graph.initializers[name]


def constant_of(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """Return what a constant holds, None where the value is not one."""
    if value is None or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy())


def only_user(value: ir.Value) -> ir.Node | None:
    """Return the one node that takes a value, and nothing else does; None where there is none."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None
