"""Weight formats: one record for each, which sizes, files, targets and trainers ask.

A new format is a record of its own in a file beside this one and a line in `FORMATS`; its name
goes to `config.Points`, at the end, as files store its place there. A package of somebody else adds
a record by an entry point, with a `layout` of ours, so that anybody can read the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.errors import SettingsError
from rlquant.plugins import FORMATS as ADDED_FORMATS
from rlquant.plugins import place
from rlquant.quantizers.affine import quantize_affine
from rlquant.quantizers.affine_step import quantize_affine_step
from rlquant.quantizers.codebook import kmeans_points, quantile_points, quantize_to_points
from rlquant.quantizers.fake import (
    FakeQuantized,
    Round,
    fake_affine,
    fake_at_points,
    fake_at_scale,
    fake_integer,
    fake_uniform,
)
from rlquant.quantizers.integer_grid import (
    quantize_integer,
    quantize_power_of_two,
    quantize_to_scale,
)
from rlquant.quantizers.kmeans import quantize_kmeans
from rlquant.quantizers.prescribed import quantize_prescribed
from rlquant.quantizers.signed_scale import quantize_signed_scale
from rlquant.quantizers.super_blocks import quantize_super_blocks
from rlquant.quantizers.tensor import CodebookKind, QuantizedTensor
from rlquant.quantizers.ternary import quantize_ternary, ternary_scales
from rlquant.quantizers.weight_format import (
    Fit,
    Fitted,
    GroupFacts,
    Quantize,
    WeightForm,
    WeightFormat,
)
from rlquant.quantizers.zero_point import quantize_zero_point


def _clipping_scale(weight: Tensor, form: WeightForm) -> Fitted:
    dtype, groups = form.scale_dtype, form.groups()
    return quantize_integer(weight, form.choice.bits, clip=True, scale_dtype=dtype, **groups).scale


def _power_of_two(weight: Tensor, form: WeightForm) -> Fitted:
    return quantize_power_of_two(weight, form.choice.bits, scale_dtype=form.scale_dtype).scale


def _quantiles(weight: Tensor, form: WeightForm) -> Fitted:
    return quantile_points(weight, 2**form.choice.bits, **form.groups())


def _kmeans(weight: Tensor, form: WeightForm) -> Fitted:
    return kmeans_points(weight, 2**form.choice.bits, **form.groups())


def _two_scales(weight: Tensor, form: WeightForm) -> Fitted:
    return torch.tensor(ternary_scales(weight), dtype=torch.float64)


def _covering(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    return quantize_integer(w, form.choice.bits, **form.common(draws))


def _at_scale(
    w: Tensor, scale: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert scale is not None
    common = form.common(draws)
    del common["scale_dtype"]  # the scale has it
    return quantize_to_scale(w, scale, form.choice.bits, **common)


def _linear(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    return quantize_affine(w, form.choice.bits, **form.common(draws))


def _stepped(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    return quantize_affine_step(w, form.choice.bits, **form.common(draws))


def _whole_zeros(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    return quantize_zero_point(w, form.choice.bits, **form.common(draws))


def _affine(w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator) -> QuantizedTensor:
    return quantize_affine(w, form.choice.bits, zero_point=True, **form.common(draws))


def _at_points(
    w: Tensor, points: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert points is not None
    return quantize_to_points(w, points, **form.common(draws))


def _three_values(
    w: Tensor, scales: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    assert scales is not None
    positive, negative = scales.tolist()
    return quantize_ternary(w, positive, negative, scale_dtype=form.scale_dtype)


def _fake_covering(w: Tensor, _: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    return fake_integer(w, form.choice.bits, round_, **form.fake_groups())


def _fake_at_scale(w: Tensor, scale: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    assert scale is not None
    shaped = scale.reshape(-1, *[1] * (w.dim() - 1))
    return fake_at_scale(w, shaped, form.choice.bits, round_)


def _fake_linear(w: Tensor, _: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    return fake_uniform(w, form.choice.bits, round_, **form.fake_groups())


def _fake_affine(w: Tensor, _: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    return fake_affine(w, form.choice.bits, round_, **form.fake_groups())


def _fake_at_points(w: Tensor, points: Fitted, form: WeightForm, round_: Round) -> FakeQuantized:
    assert points is not None
    return fake_at_points(w, points, round_, **form.fake_groups())


def _clipped(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_integer(w, form.choice.bits, clip=True, importance=importance, **common)


def _narrowed(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    zero_point = form.format.has_zero_point
    return quantize_affine(
        w, form.choice.bits, importance=importance, zero_point=zero_point, **common
    )


def _narrowed_step(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_affine_step(w, form.choice.bits, importance=importance, **common)


def _narrowed_whole(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_zero_point(w, form.choice.bits, importance=importance, **common)


def _in_super_blocks(
    w: Tensor, importance: Tensor | None, form: WeightForm, *, mirrored: bool
) -> QuantizedTensor:
    common = form.common(form.generator)
    del common["scale_dtype"]
    return quantize_super_blocks(
        w, form.choice.bits, mirrored=mirrored, importance=importance, **common
    )


def _assigned_in_super_blocks(
    w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator, *, mirrored: bool
) -> QuantizedTensor:
    common = form.common(draws)
    del common["scale_dtype"]
    return quantize_super_blocks(w, form.choice.bits, mirrored=mirrored, **common)


def _clustered(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_kmeans(w, form.choice.bits, importance=importance, **common)


def _turned(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_signed_scale(w, form.choice.bits, importance=importance, **common)


def _assigned_turned(
    w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    return quantize_signed_scale(w, form.choice.bits, **form.common(draws))


def _on_prescribed(w: Tensor, importance: Tensor | None, form: WeightForm) -> QuantizedTensor:
    common = form.common(form.generator)
    return quantize_prescribed(w, form.format.kind, importance=importance, **common)


def _assigned_on_prescribed(
    w: Tensor, _: Fitted, form: WeightForm, draws: torch.Generator
) -> QuantizedTensor:
    return quantize_prescribed(w, form.format.kind, **form.common(draws))


def _prescribed(kind: CodebookKind, **fields: Any) -> WeightFormat:
    """Return a format whose codebook a file format prescribes."""
    return WeightFormat(
        name=kind, kind=kind, quantize=_on_prescribed, assign=_assigned_on_prescribed, **fields
    )


def _stored(name: str, fit: Fit, quantize: Quantize | None = None) -> WeightFormat:
    """Return a format whose points are stored with the layer."""
    return WeightFormat(
        name=name,
        kind="stored",
        fit=fit,
        quantize=quantize,
        assign=_at_points,
        fake=_fake_at_points,
        has_offset=True,
    )


TERNARY = WeightFormat(
    name="ternary", kind="ternary", fit=_two_scales, assign=_three_values, per_tensor=True
)
"""The format of the method of that name, which has no other points."""

FORMATS: Mapping[str, WeightFormat] = {
    each.name: each
    for each in (
        WeightFormat(
            name="symmetric", kind="integer", assign=_covering, fake=_fake_covering, mirrored=True
        ),
        WeightFormat(
            name="clipped",
            kind="integer",
            fit=_clipping_scale,
            quantize=_clipped,
            assign=_at_scale,
            fake=_fake_at_scale,
            fixed_scale=True,
        ),
        WeightFormat(
            name="fixed_point",
            kind="integer",
            fit=_power_of_two,
            assign=_at_scale,
            fake=_fake_at_scale,
            fixed_scale=True,
            per_tensor=True,
        ),
        WeightFormat(
            name="affine",
            kind="affine",
            quantize=_narrowed,
            assign=_affine,
            fake=_fake_affine,
            has_offset=True,
            has_zero_point=True,
        ),
        _stored("quantile", _quantiles),
        _stored("kmeans", _kmeans, _clustered),
        _stored("learned", _quantiles),  # where learned points start
        WeightFormat(
            name="affine_step",
            kind="steps",
            quantize=_narrowed_step,
            assign=_stepped,
            has_offset=True,
        ),
        WeightFormat(
            name="linear",
            kind="affine",
            quantize=_narrowed,
            assign=_linear,
            fake=_fake_linear,
            has_offset=True,
        ),
        WeightFormat(
            name="k_affine",
            kind="steps",
            quantize=partial(_in_super_blocks, mirrored=False),
            assign=partial(_assigned_in_super_blocks, mirrored=False),
            has_offset=True,
            restricted_scales=True,
        ),
        WeightFormat(
            name="k_symmetric",
            kind="integer",
            quantize=partial(_in_super_blocks, mirrored=True),
            assign=partial(_assigned_in_super_blocks, mirrored=True),
            restricted_scales=True,
        ),
        WeightFormat(
            name="zero_point",
            kind="steps",
            quantize=_narrowed_whole,
            assign=_whole_zeros,
            has_offset=True,
            has_zero_point=True,
        ),
        WeightFormat(
            name="signed_scale",
            kind="integer",
            quantize=_turned,
            assign=_assigned_turned,
            signed=True,
        ),
        _prescribed("iq4_nl", signed=True),
        _prescribed("mxfp4", restricted_scales=True),
        _prescribed("tied_ternary"),
    )
}
"""The format of each kind of points, by its name in `LayerChoice.points`."""


def form_of(
    weight: Tensor, choice: LayerChoice, channel_axis: int = 0, seed: int = 0
) -> WeightForm:
    """Return how a layer's weight is stored: its choice and its float weight decide it.

    Args:
        weight: float.
        choice: canonical choice of the layer.
        channel_axis: output-channel axis of the weight.
        seed: of random draws, together with the layer's name.
    """
    own = format_of(choice)
    facts = GroupFacts.of(weight, own.group_size(choice), channel_axis)
    return WeightForm(choice, own, channel_axis, own.scale_dtype(facts, choice.bits), seed)


def format_of(choice: LayerChoice) -> WeightFormat:
    """Return the format of a quantized layer's weight."""
    if choice.method == TERNARY.name:
        return TERNARY
    return FORMATS[choice.points] if choice.points in FORMATS else added_format(choice.points)


IN_FILES = (
    *("kind", "has_offset", "has_zero_point", "per_tensor", "mirrored", "restricted_scales"),
    "signed",
)
"""What decides how a file's bytes are read: of a format that is added as of its layout."""


@cache
def added_format(name: str) -> WeightFormat:
    """Return the format that a package adds under a name.

    Raises:
        SettingsError: it cannot be imported, is no `WeightFormat` of that name, or has no layout.
    """
    where = place(ADDED_FORMATS, name)
    try:
        found = resolve_name(where)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"points {name!r}: {where} cannot be imported ({error})") from error
    if not isinstance(found, WeightFormat) or found.name != name:
        raise SettingsError(f"points {name!r}: {where} is no WeightFormat of that name")
    if found.layout is None or found.layout not in FORMATS:
        raise SettingsError(
            f"points {name!r}: layout={found.layout!r}, name the points whose files it has: one of "
            f"{', '.join(FORMATS)}"
        )
    as_stored = FORMATS[found.layout]
    wrong = [field for field in IN_FILES if getattr(found, field) != getattr(as_stored, field)]
    if wrong:
        raise SettingsError(
            f"points {name!r}: {', '.join(wrong)} must be as those of its layout "
            f"{found.layout!r}; make it by dataclasses.replace of that format"
        )
    return found
