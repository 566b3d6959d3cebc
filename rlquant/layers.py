"""Find a network's quantizable layers, in execution order, with what a search wants to know."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import copy_network, shared_copy
from rlquant.errors import NetworkError
from rlquant.forward_pass import Arguments, as_arguments, outputs_of, tensors_in
from rlquant.multiply_accumulates import multiply_accumulates
from rlquant.network_inputs import Inputs, first_input, require_inputs
from rlquant.plain_network import require_network
from rlquant.quantizable import excluded_layers, require_quantizable
from rlquant.quantizers.groups import to_rows
from rlquant.quantizers.integer_grid import quantize_integer
from rlquant.responsiveness import require_responsive
from rlquant.weight_sites import (
    KINDS,
    PARTS,
    WeightSite,
    channel_axis_of,
    site_of,
    weight_sites,
)

logger = logging.getLogger(__name__)

ERROR_BITS = (2, 3, 4, 5, 6, 7, 8)
"""Bit-widths at which `LayerFacts.relative_error` is given."""
SAMPLED_WEIGHTS = 65_536
"""Weights of a layer that its relative errors are measured on, at most."""
SAMPLED_IN_ALL = 2**21
"""The same for all layers together: a network of hundreds of layers has fewer of each."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of one quantizable layer of the float network.

    Attributes:
        name: path of the module, or of the parameter; see `weight_sites.WeightSite`.
        kind: one of `weight_sites.LAYER_KINDS`.
        shape: shape of the weight.
        parameters: number of weights (without bias).
        macs: multiply-accumulates for one sample, over all calls of one forward pass.
        channel_axis: output-channel axis of the weight.
        calls: how often one forward pass runs the layer.
        has_bias: whether it has a bias of its own, as parts of a module have none.
        normalized: whether its output goes straight into a BatchNorm.
        std: standard deviation of the weights.
        largest: max |w|.
        kurtosis: fourth standardised moment of the weights (3 for a normal distribution).
        relative_error: squared error of the clipped per-channel grid over the squared weights,
            at `ERROR_BITS`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    channel_axis: int = 0
    calls: int = 1
    has_bias: bool = True
    normalized: bool = False
    std: float = 0.0
    largest: float = 0.0
    kurtosis: float = 0.0
    relative_error: tuple[float, ...] = (0.0,) * len(ERROR_BITS)


def modules_of(layers: Iterable[LayerFacts]) -> tuple[LayerFacts, ...]:
    """Return the layers that are modules, with inputs and outputs of their own."""
    return tuple(facts for facts in layers if facts.kind not in PARTS)


@explained
@isolated(seed=0)
def find_layers(
    network: nn.Module, example_input: Inputs, *, exclude: Iterable[str] = ()
) -> tuple[LayerFacts, ...]:
    """Find the quantizable layers in the order in which one forward pass first runs them.

    Args:
        network: left as it is; a copy in eval mode is run once.
        example_input: one batch as the network takes it (a tuple is passed as arguments, a mapping
            as keyword arguments).
        exclude: layers that will stay in float32: left out, and allowed to be unquantizable. Names
            or shell patterns such as "*.embed_tokens".

    Raises:
        NetworkError: no quantizable layer; a network that is compiled, parametrized or quantized
            already, or cannot be copied; a layer that shares its weight with another module or
            has a meta, integer or non-finite weight, or does not answer to it.
        DataError: `example_input` holds no sample, or the network does not run on it.
        UnknownNameError: `exclude` has a name or pattern of no layer.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> for layer in rlquant.find_layers(network, data[0][:2]):
        ...     print(layer.name, layer.kind, layer.parameters)
        hidden linear 128
        last linear 48
    """
    kept = excluded_layers(require_network(network), exclude)
    require_quantizable(network, [n for n in weight_sites(network) if n not in kept])
    ours = copy_network(network)
    return layers_and_macs(ours, example_input, kept, as_arguments(example_input))[0]


def layers_and_macs(
    network: nn.Module, example_input: Inputs, kept: Sequence[str], brief: Arguments
) -> tuple[tuple[LayerFacts, ...], dict[str, int]]:
    """Find the quantizable layers, and the multiply-accumulates for one sample of kept ones.

    Args:
        network: one of ours, see `shared_copy`.
        example_input: as for `find_layers`; the network is run on it once.
        kept: names of layers that stay in float32.
        brief: inputs that take less time, on which layers are tried out with other weights.

    Raises:
        NetworkError, DataError: see `find_layers`.
    """
    searched = {n: site for n, site in weight_sites(network).items() if n not in kept}
    require_quantizable(network, searched)
    trace = _Trace.of(network, example_input, (*searched, *_with_weights(network, kept)))
    order = [name for name in trace.macs if name in searched]
    never_run = [name for name in searched if name not in trace.macs]
    if never_run:
        logger.warning(
            "left out, as a forward pass never calls their modules: %s", ", ".join(never_run)
        )
    if not order:
        raise NetworkError(
            f"no quantizable layer: {type(network).__name__} runs no "
            f"{', '.join(cls.__name__ for cls in KINDS)} outside exclude={sorted(kept)}"
        )
    require_responsive(network, brief, order)
    sampled = min(SAMPLED_WEIGHTS, SAMPLED_IN_ALL // len(order))
    found = tuple(_facts(network, searched[name], trace, sampled) for name in order)
    return found, {name: macs for name, macs in trace.macs.items() if name not in searched}


def _with_weights(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the layers that have a weight with data, as kept ones need not."""
    owners = {name: site_of(network, name) for name in names}
    weights = {n: getattr(s.owner_in(network), s.parameter, None) for n, s in owners.items()}
    return [n for n, w in weights.items() if isinstance(w, Tensor) and w.numel()]


def count_macs(network: nn.Module, example_input: Inputs, names: Sequence[str]) -> dict[str, int]:
    """Return the multiply-accumulates for one sample of the named layers that run."""
    return dict(_Trace.of(network, example_input, names).macs)


@dataclass(frozen=True, slots=True)
class _Trace:
    """What one forward pass shows: MACs and calls by layer in order, who feeds a BatchNorm."""

    macs: dict[str, int]
    calls: dict[str, int]
    normalized: set[str]

    @classmethod
    def of(cls, network: nn.Module, example_input: Inputs, names: Sequence[str]) -> _Trace:
        trace = cls({}, {}, set())
        outputs: dict[int, tuple[str, Tensor]] = {}
        inputs = require_inputs("example_input", example_input)
        first = tensors_in(inputs)[0]
        batch = max(1, first.shape[0] if first.dim() else 1)
        wanted: dict[str, list[WeightSite]] = {}
        for site in (site_of(network, name) for name in names):
            wanted.setdefault(site.runner, []).append(site)

        def watch(sites: Sequence[WeightSite]) -> Any:
            def hook(module: nn.Module, args: Any, keywords: Any, output: Tensor) -> None:
                _require_not_nested(sites[0].layer, (args, keywords, output))
                for site in sites:
                    name = site.layer
                    macs = multiply_accumulates(site, module, args, keywords, output) // batch
                    trace.macs[name] = trace.macs.get(name, 0) + macs
                    trace.calls[name] = trace.calls.get(name, 0) + 1
                    if normalizes and not site.is_part:
                        outputs[id(output)] = (name, output)  # alive, so that ids stay unique

            return hook

        def note_input(module: nn.Module, args: Any, keywords: Any) -> None:
            given = id(first_input(args, keywords))
            if given in outputs:
                trace.normalized.add(outputs[given][0])

        clone = shared_copy(network)
        normalizes = any(map(_is_batch_norm, clone.modules()))
        for name, module in clone.named_modules():
            if name in wanted:
                module.register_forward_hook(watch(wanted[name]), with_kwargs=True)
            elif _is_batch_norm(module):
                module.register_forward_pre_hook(note_input, with_kwargs=True)
        with torch.no_grad():
            outputs_of(clone, inputs, "example_input")
        return trace


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def _require_not_nested(layer: str, values: Any) -> None:
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    if any(tensor.is_nested for tensor in tensors):
        raise NetworkError(
            f"layer {layer!r} runs on nested tensors, in which nothing can be measured; make "
            f"nn.TransformerEncoder with enable_nested_tensor=False, or set its attribute "
            f"use_nested_tensor to False"
        )


def _facts(network: nn.Module, site: WeightSite, trace: _Trace, sampled: int) -> LayerFacts:
    name, weight = site.layer, site.weight_in(network).detach().float()
    axis = channel_axis_of(site.kind)
    centred = weight - weight.mean()
    variance = centred.square().mean()
    bias = None if site.is_part else getattr(site.owner_in(network), "bias", None)
    return LayerFacts(
        name=name,
        kind=site.kind,
        shape=tuple(weight.shape),
        parameters=weight.numel(),
        macs=trace.macs[name],
        channel_axis=axis,
        calls=trace.calls[name],
        has_bias=bias is not None,
        normalized=name in trace.normalized,
        std=float(variance.sqrt()),
        largest=float(weight.abs().max()),
        kurtosis=float(centred.pow(4).mean() / variance.square().clamp_min(1e-30)),
        relative_error=relative_errors(weight, axis, sampled),
    )


def relative_errors(
    weight: Tensor, channel_axis: int, sampled: int = SAMPLED_WEIGHTS
) -> tuple[float, ...]:
    """Return the relative squared error of the clipped per-channel grid at `ERROR_BITS`.

    Large layers are evaluated on evenly spaced channels, about `sampled` weights of them.
    """
    rows = to_rows(weight, "channel", channel_axis)
    stride = max(1, weight.numel() // sampled)
    rows = rows[:: min(stride, len(rows))]
    power = float(rows.square().sum()) or 1.0
    return tuple(
        float((quantize_integer(rows, bits, clip=True).dequantize() - rows).square().sum()) / power
        for bits in ERROR_BITS
    )
