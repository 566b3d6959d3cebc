"""Quantization of one weight by a choice.

It takes two steps, which training takes apart: *fit* what is decided once per layer (a clipping
scale, the points), and *assign* every weight to a point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice, Rounding
from rlquant.cost.size import LayerStorage
from rlquant.errors import QuantizationError
from rlquant.quantizers import (
    QuantizedTensor,
    kmeans_points,
    quantile_points,
    quantize_affine,
    quantize_integer,
    quantize_power_of_two,
    quantize_ternary,
    quantize_to_points,
    quantize_to_scale,
    ternary_scales,
)
from rlquant.quantizers.fake import (
    FakeQuantized,
    Round,
    fake_at_points,
    fake_at_scale,
    fake_integer,
    fake_uniform,
    in_layout_of,
)
from rlquant.quantizers.groups import from_rows, spread, to_rows
from rlquant.quantizers.rounding import PURE_ROUNDINGS, rounder
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.learned import learn

Assignment = Callable[[Tensor, QuantizedTensor, Tensor, torch.Generator], QuantizedTensor]
"""A weight, its nearest rounding, moments and draws in, other codes on the same grid out."""
ASSIGNMENTS: Mapping[Rounding, Assignment] = {
    "gptq": lambda weight, nearest, moments, draws: feed_back(weight, nearest, moments),
    "learned": learn,
}
"""Roundings that look at the layer's outputs."""
Moments = Callable[[], Mapping[str, Tensor]]
"""Gives the matrix by which each layer's weight errors count, see `output_hessian`."""


def layer_generator(seed: int, layer: str) -> torch.Generator:
    """Return the generator of a layer's random draws: the same in every process."""
    digest = hashlib.blake2b(f"{seed}:{layer}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


@dataclass(frozen=True, slots=True)
class WeightForm:
    """How one layer's weight is stored, decided by its choice and its float weight.

    Attributes:
        choice: canonical choice of the layer.
        channel_axis: output-channel axis of the weight.
        scale_dtype: type in which scales, offsets and codebook are stored. The float weight
            decides it, so that the size is known before anything is trained.
        seed: of random draws, together with the layer's name.
    """

    choice: LayerChoice
    channel_axis: int
    scale_dtype: torch.dtype
    seed: int

    @classmethod
    def of(
        cls,
        weight: Tensor,
        choice: LayerChoice,
        channel_axis: int = 0,
        seed: int = 0,
    ) -> WeightForm:
        """Read the storage type off a float weight."""
        dtype = LayerStorage(weight, channel_axis).scale_dtype(choice)
        return cls(choice, channel_axis, dtype, seed)

    @property
    def generator(self) -> torch.Generator:
        """The generator of the draw that is stored: always at its start."""
        return layer_generator(self.seed, self.choice.layer)

    def groups(self) -> dict[str, Any]:
        """Return the arguments that say which weights share a scale."""
        return {"group_size": self.group_size, "channel_axis": self.channel_axis}

    @property
    def group_size(self) -> GroupSize:
        """The weights that share a scale; fixed point has one for the tensor."""
        return "tensor" if self.choice.points == "fixed_point" else self.choice.group_size

    @property
    def has_plain_groups(self) -> bool:
        """Whether groups are output channels at axis 0, or the whole weight."""
        one_each = self.group_size == "channel" and self.channel_axis == 0
        return one_each or self.group_size == "tensor"

    def fake_groups(self) -> dict[str, Any]:
        """Return the arguments of the fake quantizers of plain groups."""
        return {"channels": self.group_size != "tensor", "scale_dtype": self.scale_dtype}

    def rounding(self, generator: torch.Generator) -> dict[str, Any]:
        """Return the arguments that say how weights are rounded."""
        return {"rounding": self.choice.rounding, "generator": generator}


def _no_fit(weight: Tensor, form: WeightForm) -> None:
    """Return None: scale and points follow from the weights at every assignment."""


def _clipping_scale(weight: Tensor, form: WeightForm) -> Tensor | None:
    dtype, groups = form.scale_dtype, form.groups()
    return quantize_integer(weight, form.choice.bits, clip=True, scale_dtype=dtype, **groups).scale


def _power_of_two(weight: Tensor, form: WeightForm) -> Tensor | None:
    return quantize_power_of_two(weight, form.choice.bits, scale_dtype=form.scale_dtype).scale


def _quantiles(weight: Tensor, form: WeightForm) -> Tensor:
    return quantile_points(weight, 2**form.choice.bits, **form.groups())


def _kmeans(weight: Tensor, form: WeightForm) -> Tensor:
    return kmeans_points(weight, 2**form.choice.bits, **form.groups())


Fitted = Tensor | None
"""What is fitted once: scales as they are stored, points, or nothing."""
Fit = Callable[[Tensor, WeightForm], Fitted]
Assign = Callable[[Tensor, Fitted, WeightForm, torch.Generator], QuantizedTensor]
Fake = Callable[[Tensor, Fitted, WeightForm, Round], FakeQuantized]


def _covering(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    common = {**form.groups(), **form.rounding(draws), "scale_dtype": form.scale_dtype}
    return quantize_integer(w, form.choice.bits, **common)


def _at_scale(
    w: Tensor, scale: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert scale is not None
    common = {**form.groups(), **form.rounding(draws)}
    return quantize_to_scale(w, scale, form.choice.bits, **common)


def _one_scale(
    w: Tensor, scale: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert scale is not None
    bits, rounding = form.choice.bits, form.rounding(draws)
    return quantize_to_scale(w, scale, bits, group_size="tensor", **rounding)


def _linear(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    common = {**form.groups(), **form.rounding(draws), "scale_dtype": form.scale_dtype}
    return quantize_affine(w, form.choice.bits, **common)


def _at_points(
    w: Tensor, points: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert points is not None
    common = {**form.groups(), **form.rounding(draws), "scale_dtype": form.scale_dtype}
    return quantize_to_points(w, points, **common)


def _fake_covering(w: Tensor, _: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    return fake_integer(w, form.choice.bits, round_, **form.fake_groups())


def _fake_at_scale(w: Tensor, scale: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    assert scale is not None
    shaped = scale.reshape(-1, *[1] * (w.dim() - 1))
    return fake_at_scale(w, shaped, form.choice.bits, round_)


def _fake_linear(w: Tensor, _: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    return fake_uniform(w, form.choice.bits, round_, **form.fake_groups())


def _fake_at_points(w: Tensor, points: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    assert points is not None
    return fake_at_points(w, points, round_, **form.fake_groups())


@dataclass(frozen=True, slots=True)
class Quantizer:
    """One kind of points: what is fitted once, and how weights are assigned then.

    Attributes:
        fit: what is decided once per layer.
        assign: gives the quantized weight.
        fake: gives the same values faster, for layers whose groups are channels (axis 0) or the
            whole tensor.
    """

    fit: Fit
    assign: Assign
    fake: Fake


QUANTIZERS: Mapping[str, Quantizer] = {
    "symmetric": Quantizer(_no_fit, _covering, _fake_covering),
    "clipped": Quantizer(_clipping_scale, _at_scale, _fake_at_scale),
    "fixed_point": Quantizer(_power_of_two, _one_scale, _fake_at_scale),
    "affine": Quantizer(_no_fit, _linear, _fake_linear),
    "quantile": Quantizer(_quantiles, _at_points, _fake_at_points),
    "kmeans": Quantizer(_kmeans, _at_points, _fake_at_points),
    "learned": Quantizer(_quantiles, _at_points, _fake_at_points),  # where learned points start
}
"""How each kind of points is placed, by its name in `LayerChoice.points`."""


def fit_weight(weight: Tensor, form: WeightForm) -> Fitted:
    """Return what is fitted once for a layer that is not ternary."""
    return QUANTIZERS[form.choice.points].fit(weight, form)


def assign_weight(
    weight: Tensor, fitted: Fitted, form: WeightForm, generator: torch.Generator | None = None
) -> QuantizedTensor:
    """Assign every weight of a layer that is not ternary to a point.

    Args:
        weight: float; the one that was fitted, or a later latent one.
        fitted: what `fit_weight` returned.
        form: the layer's.
        generator: of random draws; by default that of the draw that is stored.
    """
    draws = form.generator if generator is None else generator
    return QUANTIZERS[form.choice.points].assign(weight, fitted, form, draws)


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
    if weight.dtype != torch.float32:
        return _slow_fake(weight, fitted, form, generator)
    fake, round_ = QUANTIZERS[form.choice.points].fake, rounder(form.choice.rounding, generator)
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
    """Return what `assign_weight` gives, for weights that are not float32."""
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

    Random draws depend on `seed` and the layer's name alone. The weight is not changed.

    Args:
        weight: float.
        choice: canonical, of one layer.
        channel_axis: output-channel axis of the weight.
        seed: of random draws.
        moments: asked where the rounding looks at the layer's outputs.

    Raises:
        QuantizationError: weights not quantizable, or such a rounding without moments.
    """
    if choice.rounding in ASSIGNMENTS:
        return _assigned_hessian_based(weight, choice, channel_axis, seed, moments)
    form = WeightForm.of(weight, choice, channel_axis, seed)
    if choice.method == "ternary":
        return quantize_ternary(weight, *ternary_scales(weight), scale_dtype=form.scale_dtype)
    return assign_weight(weight, fit_weight(weight, form), form)


def _assigned_hessian_based(
    weight: Tensor,
    choice: LayerChoice,
    channel_axis: int,
    seed: int,
    moments: Moments | None,
) -> QuantizedTensor:
    matrix = None if moments is None else moments().get(choice.layer)
    if matrix is None:
        raise QuantizationError(
            f"layer {choice.layer!r}: rounding={choice.rounding!r} looks at the layer's inputs, of "
            f"which there are no moments; give calibration data, or use {PURE_ROUNDINGS} for "
            f"embeddings, transposed and 3-d convolutions and more than 2048 weights a channel"
        )
    plain = replace(choice, rounding="nearest")
    nearest = quantize_weight(weight, plain, channel_axis=channel_axis)
    draws = layer_generator(seed, choice.layer)
    return ASSIGNMENTS[choice.rounding](weight, nearest, matrix, draws)
