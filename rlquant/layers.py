"""Find a network's quantizable layers, in execution order, with what a search wants to know."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import copy_network, shared_copy
from rlquant.errors import DataError, NetworkError
from rlquant.forward_pass import Arguments, as_arguments, outputs_of, tensors_in
from rlquant.layer_names import matching
from rlquant.plain_network import remedy_of, require_network, require_plain
from rlquant.quantizers.groups import to_rows
from rlquant.quantizers.integer_grid import quantize_integer
from rlquant.responsiveness import require_responsive, require_responsive_alone
from rlquant.weight_sites import (
    ATTENTION,
    KINDS,
    PARTS,
    RECURRENT,
    WeightSite,
    channel_axis_of,
    is_transposed_linear,
    site_of,
    weight_sites,
)

logger = logging.getLogger(__name__)

Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""What a network takes: `network(inputs)`, `network(*inputs)` or `network(**inputs)`."""

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


def require_inputs(name: str, inputs: Any) -> Arguments:
    """Return the arguments of a forward pass; `DataError` where they are no samples to run on."""
    collected = isinstance(inputs, (Sequence, Mapping))
    found: Arguments = as_arguments(inputs) if collected else (inputs,)
    if not found or not all(isinstance(tensor, Tensor) for tensor in tensors_in(found)):
        kinds = sorted({type(tensor).__name__ for tensor in tensors_in(found)})
        raise DataError(f"{name} is {kinds}; give a tensor, a tuple of tensors, or tensors by name")
    for tensor in tensors_in(found):
        shape = tuple(tensor.shape)
        if tensor.is_meta:
            raise DataError(f"{name} of shape {shape} is a meta tensor; give one that has data")
        if shape[:1] == (0,):
            raise DataError(f"{name} of shape {shape} is empty; give at least one sample")
    return found


def require_positional(name: str, inputs: Any) -> tuple[Tensor, ...]:
    """Return the arguments of a forward pass that has no keyword arguments; see `require_inputs`.

    Raises:
        DataError: also where inputs are given by name.
    """
    found = require_inputs(name, inputs)
    if isinstance(found, dict):
        raise DataError(
            f"{name} gives inputs by name ({', '.join(found)}), which are not taken here; wrap the "
            f"network in one whose forward takes them in order, and give a tuple"
        )
    return found


def first_input(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """Return a module's first positional argument, or else its first tensor given by keyword."""
    if args:
        return args[0]
    return next((value for value in keywords.values() if isinstance(value, Tensor)), None)


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


def excluded_layers(network: nn.Module, exclude: Iterable[str]) -> tuple[str, ...]:
    """Return the quantizable layers that names or shell patterns mean, and those that are tied.

    A weight that several modules share stays float in all of them.

    Raises:
        UnknownNameError: a name or pattern of no layer.
    """
    candidates = weight_sites(network)
    named = matching("layer in exclude", exclude, list(candidates))
    shared = tied_weights(network)
    tied = [n for n, site in candidates.items() if id(_parameter(network, site)) in shared]
    return tuple(dict.fromkeys((*named, *tied)))


def count_macs(network: nn.Module, example_input: Inputs, names: Sequence[str]) -> dict[str, int]:
    """Return the multiply-accumulates for one sample of the named layers that run."""
    return dict(_Trace.of(network, example_input, names).macs)


def require_quantizable(network: nn.Module, searched: Iterable[str]) -> None:
    """Raise `NetworkError` unless every searched layer has a plain, finite weight of its own.

    The other modules, kept layers among them, must be plain as well: a packed file holds nothing
    that is parametrized.
    """
    require_network(network)
    for name, module in network.named_modules():
        require_plain(name, module)
    sites = [site_of(network, name) for name in searched]
    for site in sites:
        _require_plain_weight(network, site)
    _require_untied(network, sites)


def _parameter(network: nn.Module, site: WeightSite) -> nn.Parameter | None:
    """Return the weight, None where it is no parameter of its own."""
    return site.owner_in(network)._parameters.get(site.parameter)


def _require_plain_weight(network: nn.Module, site: WeightSite) -> None:
    name, weight = site.layer, _parameter(network, site)
    if weight is None:
        remedy = remedy_of(site.owner_in(network))
        raise NetworkError(f"layer {name!r}: its weight is no parameter of its own; {remedy}")
    if not weight.is_floating_point():
        raise NetworkError(
            f"layer {name!r}: its weight is of type {weight.dtype}; load float weights first"
        )
    if weight.numel() == 0:
        raise NetworkError(
            f"layer {name!r}: its weight of shape {tuple(weight.shape)} has no element; "
            f"name the layer in exclude"
        )
    if not torch.isfinite(weight.detach()).all():
        raise NetworkError(f"layer {name!r}: its weight has NaN or infinite values")


def require_answering(network: nn.Module, names: Iterable[str]) -> None:
    """Raise `NetworkError` where a layer with code of its own does not answer to its weight.

    For networks of whose inputs nothing is known; `find_layers` looks at all layers in a pass.
    """
    sites = [site_of(network, name) for name in names]
    runners = {site.layer: site.runner_in(network) for site in sites}
    parts = {site.layer for site in sites if site.is_part}
    require_responsive_alone(
        network,
        {n: _example(m) for n, m in runners.items() if n in parts or _has_own_code(m)},
    )


def _has_own_code(module: nn.Module) -> bool:
    """Return whether a layer runs anything else than the `forward` of its kind."""
    changed = "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks
    known = type(module) in KINDS or is_transposed_linear(module)
    return not known or bool(changed)


def _example(module: nn.Module) -> tuple[Tensor, ...]:
    """Return two samples as a module of this kind usually takes them."""
    weight = next(module.parameters())
    if isinstance(module, nn.Embedding):
        return (torch.arange(min(2, len(weight)), device=weight.device),)
    if isinstance(module, nn.Linear):
        return (weight.new_ones(2, module.in_features),)
    if isinstance(module, nn.RNNBase):
        return (weight.new_ones(2, 2, module.input_size),)
    if isinstance(module, nn.MultiheadAttention):
        widths = (module.embed_dim, module.kdim, module.vdim)
        steps = torch.arange(1, 5, dtype=weight.dtype, device=weight.device).reshape(2, 2, 1)
        return tuple(steps.expand(2, 2, width) for width in widths)
    assert isinstance(module, nn.modules.conv._ConvNd)
    reach = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return (weight.new_ones(2, module.in_channels, *reach),)


def tied_weights(network: nn.Module) -> dict[int, list[str]]:
    """Return the parameters that several modules share: id -> their names."""
    owners: dict[int, list[str]] = {}
    for module_name, module in network.named_modules():
        for parameter_name, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(f"{module_name}.{parameter_name}")
    return {key: names for key, names in owners.items() if len(names) > 1}


def _require_untied(network: nn.Module, searched: Iterable[WeightSite]) -> None:
    tied = tied_weights(network)
    for site in searched:
        shared = tied.get(id(_parameter(network, site)))
        if shared is not None:
            raise NetworkError(
                f"layer {site.layer!r}: its weight is tied ({', '.join(shared)}) and cannot be "
                f"quantized once for all; leave the layer out"
            )


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
