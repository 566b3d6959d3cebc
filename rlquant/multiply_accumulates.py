"""Multiply-accumulates of one call of a layer, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rlquant.network_inputs import first_input
from rlquant.weight_sites import ATTENTION, RECURRENT, WeightSite, channel_axis_of


def multiply_accumulates(
    site: WeightSite, module: nn.Module, args: Any, keywords: Mapping[str, Any], output: Any
) -> int:
    """Return the multiply-accumulates of one call of a layer's module on a whole batch.

    Args:
        site: of the layer.
        module: that computes with the weight.
        args: its positional arguments.
        keywords: its other ones.
        output: what it gave.
    """
    kind, weight = site.kind, getattr(module, site.parameter, None)
    if kind == "embedding":
        return 0
    given = first_input(args, keywords)
    if kind == RECURRENT:  # `given` may be packed: its data has a row for every step
        assert isinstance(module, nn.RNNBase)
        assert isinstance(weight, Tensor)
        return int(given.data.numel() // module.input_size * weight.numel())
    if kind == ATTENTION:
        return _projections(site, module, args, keywords)
    assert isinstance(weight, Tensor)
    if kind.startswith("conv_transpose"):
        return int(given.numel() // weight.shape[0] * weight.numel())
    return int(output.numel() // weight.shape[channel_axis_of(kind)] * weight.numel())


def _projections(
    site: WeightSite, attention: nn.Module, args: Any, keywords: Mapping[str, Any]
) -> int:
    """Return the multiply-accumulates of a projection of an attention, in one call."""
    assert isinstance(attention, nn.MultiheadAttention)
    names, first = ("query", "key", "value"), first_input(args, keywords)
    given: dict[str, Any] = {**dict(zip(names, args, strict=False)), **keywords}
    query, key, value = (given.get(n, first).numel() * attention.embed_dim for n in names)
    parts = {"q_proj_weight": query, "k_proj_weight": key, "v_proj_weight": value, "weight": query}
    return int(parts.get(site.parameter, query + key + value))
