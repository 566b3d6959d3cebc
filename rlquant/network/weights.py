"""Quantization of one weight by a choice.

It takes two steps, which training takes apart: *fit* what is decided once per layer (a clipping
scale, the points), and *assign* every weight to a point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from rlquant.config import LayerChoice, Rounding
from rlquant.errors import QuantizationError
from rlquant.network_kind import WIDEST
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.affine_range import AffineRange
from rlquant.quantizers.fake import FakeQuantized, in_layout_of
from rlquant.quantizers.formats import form_of
from rlquant.quantizers.groups import from_rows, spread, to_rows
from rlquant.quantizers.rounding import PURE_ROUNDINGS, rounder
from rlquant.quantizers.weight_format import Fitted, WeightForm
from rlquant.rounding.factor import Factor
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.rounding.learned import learn
from rlquant.rounding.refit import refit_scales

Assignment = Callable[[Tensor, QuantizedTensor, Tensor, Factor, torch.Generator], QuantizedTensor]
"""A weight, its nearest rounding, Hessian, its factor and draws in, codes on the same grid out."""
ASSIGNMENTS: Mapping[Rounding, Assignment] = {
    "gptq": lambda weight, nearest, hessian, factor, draws: feed_back(
        weight, nearest, hessian, factor
    ),
    "learned": lambda weight, nearest, hessian, factor, draws: learn(
        weight, nearest, hessian, draws, factor
    ),
}
"""Roundings that look at the layer's outputs."""
Moments = Callable[[], Mapping[str, Tensor]]
"""Gives the matrix by which each layer's weight errors count, see `output_hessian`; `LayerHessians`
keep what is derived of them, for another mapping it is made at every call."""


def fit_weight(weight: Tensor, form: WeightForm) -> Fitted:
    """Return what is fitted once for a layer."""
    return form.format.fit(weight, form)


def assign_weight(
    weight: Tensor, fitted: Fitted, form: WeightForm, generator: torch.Generator | None = None
) -> QuantizedTensor:
    """Assign every weight of a layer to a point.

    Args:
        weight: float; the one that was fitted, or a later latent one.
        fitted: what `fit_weight` returned.
        form: the layer's.
        generator: of random draws; by default that of the draw that is stored.
    """
    draws = form.generator if generator is None else generator
    return form.format.assign(weight, fitted, form, draws)


def fake_weight(
    weight: Tensor, fitted: Fitted, form: WeightForm, generator: torch.Generator
) -> FakeQuantized:
    """Return the values of `assign_weight` for a training step, by the faster way if there is one.

    Args:
        weight: latent weights.
        fitted: what `fit_weight` returned.
        form: the layer's.
        generator: of random draws.
    """
    fake = form.format.fake
    if fake is None or weight.dtype != torch.float32:
        return _slow_fake(weight, fitted, form, generator)
    round_ = rounder(form.choice.rounding, generator)
    if form.has_plain_groups:
        return fake(weight, fitted, form, round_)
    layout = (weight.shape, form.group_size, form.channel_axis)
    found = fake(to_rows(weight, form.group_size, form.channel_axis), fitted, form, round_)
    codes, scale = found.codes, found.scale
    return FakeQuantized(
        in_layout_of(weight, from_rows(found.values, *layout)),
        None if codes is None else from_rows(codes, *layout),
        None if scale is None else spread(scale.reshape(-1), *layout),
    )


def _slow_fake(
    weight: Tensor, fitted: Fitted, form: WeightForm, generator: torch.Generator
) -> FakeQuantized:
    """Return what `assign_weight` gives, for whatever has no faster way."""
    quantized = assign_weight(weight, fitted, form, generator)
    scale = None
    if quantized.scale is not None:
        layout = (weight.shape, quantized.group_size, quantized.channel_axis)
        scale = spread(quantized.scale.float(), *layout)
    return FakeQuantized(quantized.dequantize(), quantized.codes, scale)


def quantize_weight(
    weight: Tensor,
    choice: LayerChoice,
    *,
    channel_axis: int = 0,
    seed: int = 0,
    moments: Moments | None = None,
) -> QuantizedTensor:
    """Quantize one layer's weight as `choice` says, scales rounded as they will be stored.

    Where the layer's inputs are known, scales and points are those that make the weighted error of
    the weights least: by the second moments of the inputs, or, where errors make up for each other,
    by the pivots of the Hessian's factor. Random draws depend on `seed` and the layer's name alone.
    The weight is not changed.

    Args:
        weight: float.
        choice: canonical, of one layer.
        channel_axis: output-channel axis of the weight.
        seed: of random draws.
        moments: of the layers' inputs; a layer may have none.

    Raises:
        QuantizationError: weights not quantizable, or a rounding by outputs without moments.
    """
    hessians = None if moments is None else _with_factors(moments())
    form = form_of(weight, choice, channel_axis, seed)
    if choice.rounding in ASSIGNMENTS:
        return _assigned_hessian_based(weight, form, hessians)
    known = None if hessians is None else hessians.importance(choice.layer)
    return _assigned_alone(weight, form, known)


def _with_factors(moments: Mapping[str, Tensor]) -> LayerHessians:
    return moments if isinstance(moments, LayerHessians) else LayerHessians.of(moments)


def _assigned_alone(weight: Tensor, form: WeightForm, importance: Tensor | None) -> QuantizedTensor:
    """Quantize by the errors of the weights, each on its own.

    Args:
        weight: float.
        form: with a pure rounding.
        importance: by input, shape `(groups, fan_in)`; None where all count alike.
    """
    quantize = form.format.quantize
    if quantize is None or form.choice.method != "post_training":
        return assign_weight(weight, fit_weight(weight, form), form)
    if importance is not None:
        per_group = len(weight) // len(importance)
        alike = importance[:, None].expand(-1, per_group, -1)  # no copy where there is one group
        importance = alike.reshape(weight.shape)
    return quantize(weight, importance, form)


def _assigned_hessian_based(
    weight: Tensor, form: WeightForm, hessians: LayerHessians | None
) -> QuantizedTensor:
    choice = form.choice
    if hessians is None or choice.layer not in hessians:
        raise QuantizationError(
            f"layer {choice.layer!r}: rounding={choice.rounding!r} looks at the layer's inputs, of "
            f"which there are no moments; give calibration data, or use {PURE_ROUNDINGS} for "
            f"embeddings, transposed and 3-d convolutions, parts of attentions and recurrent "
            f"modules, and more than {WIDEST} weights a channel"
        )
    hessian, factor = hessians[choice.layer], hessians.factor(choice.layer)
    plain = replace(form, choice=replace(choice, rounding="nearest"))
    nearest = _assigned_alone(weight, plain, factor.pivots)
    found = ASSIGNMENTS[choice.rounding](weight, nearest, hessian, factor, form.generator)
    fits = form.format.quantize is not None and not form.format.restricted_scales
    free = fits and form.group_size != "tensor"
    return _refitted(weight, found, hessian) if free else found


def _refitted(weight: Tensor, found: QuantizedTensor, hessian: Tensor) -> QuantizedTensor:
    """Return the same codes with scales (and offsets or zero points) fitted again."""
    if found.zero_point is None or found.kind == "steps":
        return refit_scales(weight, found, hessian)
    assert found.scale is not None
    fitted = refit_scales(weight, replace(found, zero_point=None), hessian)
    assert fitted.scale is not None
    assert fitted.offset is not None
    start = AffineRange(found.bits, found.scale, found.zero_point, has_zero_point=True)
    best = start.moved(fitted.scale, fitted.offset)
    kept = (fitted.scale == found.scale) & (fitted.offset == found.offset)
    best = start.where(kept, best)
    return replace(fitted, scale=best.scale, zero_point=best.second)
