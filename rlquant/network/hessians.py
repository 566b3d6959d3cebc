"""Layer Hessians: second moments X X^T of a layer's inputs in the float network (GPTQ, OBQ).

The squared error of a layer's outputs, summed over samples and positions, is a quadratic form in
the error of its weights; its matrix is what is measured here, once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.batch_size import batch_size_within
from rlquant.copying.network_copy import shared_copy
from rlquant.errors import DataError
from rlquant.evaluation_settings import Calibrate
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts
from rlquant.network.input_sums import InputSums, Product, Recorder, outer_products, squares
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.rounding.triangles import Triangles
from rlquant.samples import Samples, why_not_finite

CHUNK = 64
"""Samples unfolded at a time: what a convolution sees takes many times the memory of its input."""
WIDEST_EXPONENT = 40
"""Moments from 2^-40 to 2^40 are left as they are: their products stay within float32."""


@dataclass(frozen=True, slots=True, eq=False)
class InputMoments:
    """Moments of what a layer multiplies its weights with, over samples and positions.

    Attributes:
        covariance: second moments about the mean, float32, or float64 where they are too large for
            it, shape `(groups, fan_in, fan_in)`, or its diagonal alone, shape `(groups, fan_in)`.
        mean: mean of x, float64, shape `(groups, fan_in)`.
    """

    covariance: Tensor
    mean: Tensor

    @classmethod
    def of(cls, sums: InputSums, product: Product) -> InputMoments:
        """Return the moments of all rows."""
        mean = sums.total / sums.count
        covariance = (sums.second / sums.count).sub_(product(mean[:, None]))
        return cls(covariance, mean + sums.shift[:, 0])

    @property
    def second(self) -> Tensor:
        """The mean of x x^T, or of the squares alone, in the shape of the covariance."""
        product = outer_products if self.covariance.dim() == 3 else squares
        both = product(self.mean[:, None]).add_(self.covariance)
        short = both.to(self.covariance.dtype)
        return short if torch.isfinite(short).all() else both


@seeded(0)
@torch.inference_mode(False)  # in which writes to tensors leave no trace
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
        weights per output channel, the others are left out. Layers that read the same tensors have
        the very same moments.

    Raises:
        DataError: a layer whose inputs are not finite.
    """
    recorder = Recorder(layers, product)
    size = batch_size_within(network, samples, most=CHUNK)  # its copy is gone before the next
    clone = shared_copy(network)
    with torch.no_grad():
        for batch in samples.batches(size):
            with recorder.watching(clone, batch.mask):
                run(clone, batch.inputs)
    sums = recorder.sums
    for name, found in sums.items():
        if not torch.isfinite(found.second).all():
            raise DataError(
                f"calibration: inputs of layer {name!r} are not finite in the float network; "
                f"{why_not_finite(samples)}"
            )
    moments: dict[str, InputMoments] = {}
    for names in _alike({name: id(found) for name, found in sums.items()}):
        own = sums[names[0]]
        for name in names:
            del sums[name]  # gives memory back on the way
        moments |= dict.fromkeys(names, InputMoments.of(own, product))
    return moments


def shift_corrected(layers: Sequence[LayerFacts], calibrate: Calibrate) -> set[str]:
    """Return the layers of which calibration corrects a constant shift of the outputs."""
    by_norms, by_biases = calibrate in ("auto", "statistics"), calibrate in ("auto", "biases")
    return {
        facts.name
        for facts in layers
        if (facts.normalized and by_norms)
        or (facts.has_bias and facts.calls == 1 and not facts.normalized and by_biases)
    }


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
    absorbed = shift_corrected(layers, calibrate)

    def measured(product: Product) -> Iterator[tuple[list[str], Tensor]]:
        """Yield what is kept, with the names of the layers that share it."""
        moments = measure_hessians(network, layers, samples, product)
        kinds = {name: (id(found), name in absorbed) for name, found in moments.items()}
        for names in _alike(kinds):
            both = moments[names[0]]
            for name in names:
                del moments[name]  # gives memory back on the way
            yield names, _in_range(both.covariance if names[0] in absorbed else both.second)

    def matrices() -> dict[str, Triangles]:
        found: dict[str, Triangles] = {}
        for names, matrix in measured(outer_products):
            found |= dict.fromkeys(names, Triangles.of(matrix))
        return found

    def diagonals() -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for names, diagonal in measured(squares):
            found |= dict.fromkeys(names, diagonal)
        return found

    return LayerHessians(matrices, diagonals)


def _alike(values: Mapping[str, Hashable]) -> list[list[str]]:
    """Return the names of each value, in the order of the first ones."""
    names: dict[Hashable, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return list(names.values())


def _in_range(moments: Tensor) -> Tensor:
    """Return moments in float32, multiplied by a power of two where they would not fit in."""
    largest = float(moments.abs().max())
    exponent = math.frexp(largest)[1] if 0 < largest < math.inf else 0
    if abs(exponent) <= WIDEST_EXPONENT:
        return moments.float()
    return (moments * 2.0**-exponent).float()
