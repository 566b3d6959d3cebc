"""Layer Hessians: second moments X X^T of a layer's inputs in the float network (GPTQ, OBQ).

The squared error of a layer's outputs, summed over samples and positions, is a quadratic form in
the error of its weights; its matrix is what is measured here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant.ambient import seeded
from rlquant.batch_size import batch_size_within
from rlquant.copying.network_copy import copy_network
from rlquant.errors import DataError
from rlquant.evaluation_settings import Calibrate
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts, first_input
from rlquant.network_kind import is_measured
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.samples import Samples, counted, why_not_finite

CHUNK = 64
"""Samples unfolded at a time: what a convolution sees takes many times the memory of its input."""
WIDEST_EXPONENT = 40
"""Moments from 2^-40 to 2^40 are left as they are: their products stay within float32."""


@dataclass(frozen=True, slots=True, eq=False)
class InputMoments:
    """Moments of what a layer multiplies its weights with, over samples and positions.

    Attributes:
        covariance: second moments about the mean, float64, shape `(groups, fan_in, fan_in)`, or
            its diagonal alone, shape `(groups, fan_in)`.
        mean: mean of x, float64, shape `(groups, fan_in)`.
    """

    covariance: Tensor
    mean: Tensor

    @property
    def second(self) -> Tensor:
        """The mean of x x^T, or of the squares alone, in the shape of the covariance."""
        product = outer_products if self.covariance.dim() == 3 else squares
        return self.covariance + product(self.mean[:, None])


Product = Callable[[Tensor], Tensor]
"""Rows in, shape `(groups, rows, fan_in)`, sums of products of two inputs over the rows out."""


def outer_products(rows: Tensor) -> Tensor:
    """Return the sum of x x^T, shape `(groups, fan_in, fan_in)`."""
    return rows.transpose(1, 2) @ rows


def squares(rows: Tensor) -> Tensor:
    """Return the sum of the squares of each input, shape `(groups, fan_in)`."""
    return rows.square().sum(dim=1)


@seeded(0)
def measure_hessians(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    samples: Samples,
    product: Product = outer_products,
) -> dict[str, InputMoments]:
    """Run the float network once over the samples.

    Args:
        network: float network.
        layers: of it.
        samples: run in chunks.
        product: `outer_products`, or `squares` for the diagonals alone.

    Returns:
        By layer; linear layers and convolutions of one and two dimensions of up to `WIDEST`
        weights per output channel, the others are left out.

    Raises:
        DataError: a layer whose inputs are not finite.
    """
    sums: dict[str, _Sums] = {}
    size = batch_size_within(network, samples, most=CHUNK)  # its copy is gone before the next
    clone = copy_network(network)
    with torch.no_grad():
        for batch in samples.batches(size):
            with _recording(clone, layers, sums, batch.mask, product):
                run(clone, batch.inputs)
    for name, found in sums.items():
        if not torch.isfinite(found.second).all():
            raise DataError(
                f"calibration: inputs of layer {name!r} are not finite in the float network; "
                f"{why_not_finite(samples)}"
            )
    return {name: sums.pop(name).moments for name in list(sums)}  # gives memory back on the way


def output_hessian(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    samples: Samples,
    calibrate: Calibrate = "auto",
) -> LayerHessians:
    """Return the matrix by which each layer's weight errors count, for the layers that have one.

    It is the covariance of the inputs where a normalisation behind the layer, or its bias, which
    calibration corrects where the layer is run once, takes up a constant shift of its outputs, else
    their second moments; float32, shape `(groups, fan_in, fan_in)`, up to a power of two. They are
    measured when they are asked for, diagonals apart, which take little more than a forward pass;
    so `network` must stay as it is.

    Args:
        network: the float network.
        layers: those that are quantized.
        samples: of calibration.
        calibrate: what is corrected later; what is not takes up no shift.

    Raises:
        DataError: when they are asked for: a layer whose inputs are not finite.
    """
    by_norms, by_biases = calibrate in ("auto", "statistics"), calibrate in ("auto", "biases")
    absorbed = {
        facts.name
        for facts in layers
        if (facts.normalized and by_norms)
        or (facts.has_bias and facts.calls == 1 and not facts.normalized and by_biases)
    }

    def measured(product: Product) -> dict[str, Tensor]:
        found = measure_hessians(network, layers, samples, product)

        def counted_by(name: str) -> Tensor:
            moments = found.pop(name)  # float64: gives memory back on the way
            return _in_range(moments.covariance if name in absorbed else moments.second)

        return {name: counted_by(name) for name in list(found)}

    return LayerHessians(partial(measured, outer_products), partial(measured, squares))


def _in_range(moments: Tensor) -> Tensor:
    """Return moments in float32, multiplied by a power of two where they would not fit in."""
    largest = float(moments.abs().max())
    exponent = math.frexp(largest)[1] if 0 < largest < math.inf else 0
    if abs(exponent) <= WIDEST_EXPONENT:
        return moments.float()
    return (moments * 2.0**-exponent).float()


@dataclass(slots=True)
class _Sums:
    """Sums over the rows seen, each less `shift`: the mean of the first rows.

    Without it, the spread of inputs that is small against their mean would be lost in float32.
    """

    product: Product
    shift: Tensor
    second: Tensor
    total: Tensor
    count: int

    @classmethod
    def before(cls, rows: Tensor, product: Product) -> _Sums:
        """Return the sums before the first rows, shape `(groups, rows, fan_in)`."""
        shift = rows.mean(dim=1, keepdim=True, dtype=torch.float64)  # exact for constant inputs
        none = torch.zeros_like(shift)
        return cls(product, shift.float(), product(none), none[:, 0], 0)

    def add(self, rows: Tensor) -> None:
        """Add rows, shape `(groups, rows, fan_in)`."""
        shifted = rows - self.shift
        added = self.product(shifted).double()
        if not torch.isfinite(added).all():  # too large for float32
            added = self.product(shifted.double())
        self.second += added
        self.total = self.total + shifted.sum(dim=1, dtype=torch.float64)
        self.count += rows.shape[1]

    @property
    def moments(self) -> InputMoments:
        """The moments of all rows."""
        mean = self.total / self.count
        covariance = self.second / self.count - self.product(mean[:, None])
        return InputMoments(covariance, mean + self.shift[:, 0])


@contextmanager
def _recording(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    sums: dict[str, _Sums],
    mask: Tensor | None,
    product: Product,
) -> Iterator[None]:
    """Within the context, a forward pass adds the inputs of the layers to the sums."""
    handles = []
    for facts in layers:
        module = network.get_submodule(facts.name)
        if is_measured(module):
            hook = _recorder(sums, facts.name, mask, product)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _recorder(sums: dict[str, _Sums], name: str, mask: Tensor | None, product: Product) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        given = first_input(args, keywords)
        if isinstance(module, nn.Linear):
            given = counted(given, mask)
        rows = input_rows(module, given).float()  # float16 would overflow
        if not rows.shape[1]:
            return
        if name not in sums:
            sums[name] = _Sums.before(rows, product)
        sums[name].add(rows)

    return hook


def input_rows(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the layer multiplies its weights with, shape `(groups, rows, fan_in)`.

    A convolution has a row for each sample and position of its output.
    """
    if isinstance(module, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    if isinstance(module, nn.Conv1d):
        padded = padded[:, :, None]
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    columns = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    samples, width, positions = columns.shape
    groups = module.groups
    split = columns.reshape(samples, groups, width // groups, positions)
    return split.permute(1, 0, 3, 2).reshape(groups, samples * positions, width // groups)
