"""GPTQ (Frantar et al. 2022): the error of one weight is compensated by those after it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.columns import Columns, out_of_order
from rlquant.rounding.factor import Factor
from rlquant.rounding.output_error import better_per_channel
from rlquant.rounding.parts import in_parts


def feed_back(
    weight: Tensor,
    quantized: QuantizedTensor,
    moments: Tensor,
    factor: Factor | None = None,
) -> QuantizedTensor:
    """Assign weights one input at a time, each to the point nearest to what is wanted of it.

    What a weight is off by is made up for, as well as can be, by the weights of the same output
    channel that are still free; so what is wanted of the later ones moves. Inputs with the
    largest second moments come first. One pass, no randomness. A channel of which the outputs do
    not come nearer stays as it was.

    Args:
        weight: the float weight, output channels first.
        quantized: nearest rounding; its grid is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`, finite.
        factor: of the moments, where it is known.

    Returns:
        The same grid with other codes.

    Source: Frantar et al. 2022, "GPTQ", with the columns in order of their activations. That what
        is wanted follows from the Cholesky factor of the Hessian itself, and its inverse is not
        needed, is Chen et al. 2025, "The geometry of LLM quantization: GPTQ as Babai's nearest
        plane algorithm".
    """
    found = Factor.of(moments) if factor is None else factor

    def fed_back(some: Tensor, of_some: QuantizedTensor) -> QuantizedTensor:
        return _fed_back(some, of_some, moments, found)

    together = len(moments) > 1  # channels of several groups of inputs
    return (fed_back if together else partial(in_parts, fed_back))(weight, quantized)


def _fed_back(
    weight: Tensor, quantized: QuantizedTensor, moments: Tensor, factor: Factor
) -> QuantizedTensor:
    columns = Columns.of(weight, quantized, factor.order)
    errors, codes = torch.zeros_like(columns.weight), torch.empty_like(columns.weight)
    columns.assign(factor.lower, errors, codes, onward=True)
    given = quantized.codes
    settled = out_of_order(codes, factor.order, given.shape).to(given.dtype)
    return better_per_channel(weight, quantized, replace(quantized, codes=settled), moments)
