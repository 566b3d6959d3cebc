"""Configurations as recipes of other tools, which then quantize the float network themselves.

A recipe holds the width, the group size and the kind of grid of every layer. Scales and rounding
are the other tool's, so that its losses are near those of the search, not the same: where these are
to be kept, export a file.
"""

from __future__ import annotations

import glob
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import nn

from rlquant.arguments import explained
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.counted import counted
from rlquant.errors import SettingsError
from rlquant.export.compressed_tensors import scheme
from rlquant.gguf import ggml_types
from rlquant.gguf.architecture import architecture_of, file_names, require_gguf
from rlquant.layers import LayerFacts
from rlquant.pasting import install

if TYPE_CHECKING:
    from torchao.quantization import FqnToConfig

INTX = range(1, 9)
"""Widths of torchao's integers."""


@explained
def llm_compressor(config: QuantizationConfig, layers: Sequence[LayerFacts]) -> str:
    """Return a recipe of llm-compressor in YAML: a group of layers for each scheme.

    It is GPTQ's where a layer was rounded so, else plain rounding's. The folder that
    llm-compressor writes with it is one of compressed-tensors, for vLLM and transformers.

    Args:
        config: what was found.
        layers: the layers that were searched, as `problem.layers` or `find_layers` return them.

    Raises:
        SettingsError: a layer or choice that compressed-tensors does not have, by name.
    """
    quantized = _held("llm-compressor", config, layers, scheme.refusal)
    groups = scheme.config_groups({c.layer: scheme.Scheme.of(c) for c in quantized})
    for group in groups.values():
        for left_out in ("input_activations", "output_activations", "format"):
            del group[left_out]
    by_outputs = any(choice.rounding == "gptq" for choice in quantized)
    modifier = "GPTQModifier" if by_outputs else "QuantizationModifier"
    kept = [choice.layer for choice in config if choice.method == "float"]
    stage = {modifier: {"ignore": kept, "config_groups": groups}}
    recipe: str = yaml.safe_dump({"quant_stage": {"quant_modifiers": stage}}, sort_keys=False)
    return recipe


@explained
def torchao(config: QuantizationConfig, layers: Sequence[LayerFacts]) -> FqnToConfig:
    """Return the configuration of `torchao.quantization.quantize_(network, ..., filter_fn=None)`.

    `torchao.core.config.config_to_dict` makes JSON of it.

    Args:
        config: what was found.
        layers: the layers that were searched, as `problem.layers` or `find_layers` return them.

    Raises:
        SettingsError: a layer or choice that torchao's integers do not have, by name, or torchao
            is not installed.
    """
    try:
        from torchao.quantization import (
            FqnToConfig,
            IntxWeightOnlyConfig,
            MappingType,
            PerAxis,
            PerGroup,
        )
    except ImportError as error:
        command = install("torchao")
        raise SettingsError(
            f"recipes of torchao need the package torchao: run `{command}`"
        ) from error
    quantized = _held("torchao", config, layers, _refused_by_torchao)
    found: OrderedDict[str, Any] = OrderedDict()
    for choice in quantized:
        group = choice.group_size
        symmetric = choice.points in scheme.SYMMETRIC
        found[choice.layer] = IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, f"int{choice.bits}"),
            granularity=PerGroup(group) if isinstance(group, int) else PerAxis(0),
            mapping_type=MappingType.SYMMETRIC if symmetric else MappingType.ASYMMETRIC,
        )
    return FqnToConfig(found)


@explained
def modelopt(config: QuantizationConfig, layers: Sequence[LayerFacts]) -> str:
    """Return a configuration of ModelOpt in YAML: an entry for each layer, all else left float.

    Entries are a list, as ModelOpt 0.47 has them; `yaml.safe_load` makes the `config` of
    `modelopt.torch.quantization.quantize(network, config, forward_loop)` of it.

    Args:
        config: what was found.
        layers: the layers that were searched, as `problem.layers` or `find_layers` return them.

    Raises:
        SettingsError: a layer or choice that ModelOpt's integers do not have, by name.
    """
    quantized = _held("ModelOpt", config, layers, _refused_by_modelopt)
    entries: list[dict[str, Any]] = [{"quantizer_name": "*", "enable": False}]
    for choice in quantized:
        group = choice.group_size
        shared = {"block_sizes": {-1: group}} if isinstance(group, int) else {"axis": 0}
        name = f"{glob.escape(choice.layer)}.weight_quantizer"  # a pattern of fnmatch
        entries.append({"quantizer_name": name, "cfg": {"num_bits": choice.bits, **shared}})
    clipped = any(choice.points == "clipped" for choice in quantized)
    found = {"quant_cfg": entries, "algorithm": "mse" if clipped else "max"}
    recipe: str = yaml.safe_dump(found, sort_keys=False)
    return recipe


@explained
def llama_cpp(config: QuantizationConfig, network: nn.Module) -> str:
    """Return what `llama-quantize --tensor-type-file` reads: a pattern and a type for each tensor.

    Args:
        config: what a search for the target gguf found.
        network: of transformers, whose tensors it names as its GGUF file does.

    Raises:
        NetworkError: a network that GGUF files have no names for.
        SettingsError: a choice that no type of ggml is, by layer, or the package gguf is missing.
    """
    require_gguf()
    architecture_of(network)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    quantized = [choice for choice in config if choice.method != "float"]
    _require_held(
        "llama.cpp",
        quantized,
        lambda choice: ggml_types.refusal(choice, shapes.get(f"{choice.layer}.weight", ())),
    )
    names = file_names(network, [f"{choice.layer}.weight" for choice in quantized])
    lines = []
    for choice in quantized:
        kind = ggml_types.type_of(choice)
        assert kind is not None
        tensor = re.escape(names[f"{choice.layer}.weight"])
        lines.append(f"^{tensor}$={kind.name.lower()}\n")
    return "".join(lines)


def _kind_and_shape(facts: dict[str, LayerFacts], layer: str) -> tuple[str, tuple[int, ...]]:
    if layer not in facts:
        raise SettingsError(f"layers: {layer!r} of the configuration is none of {list(facts)[:4]}")
    return facts[layer].kind, tuple(facts[layer].shape)


def _refused_by_torchao(choice: LayerChoice, kind: str, shape: Sequence[int]) -> str | None:
    reason = scheme.refusal(choice, kind, shape)
    if choice.bits not in INTX:
        return f"{choice.bits} bits: torchao has integers of 1 to 8"
    return reason


def _refused_by_modelopt(choice: LayerChoice, kind: str, shape: Sequence[int]) -> str | None:
    if choice.points not in scheme.SYMMETRIC:
        return f"points={choice.points!r}: ModelOpt's integers have none of {scheme.SYMMETRIC}"
    return scheme.refusal(choice, kind, shape)


def _held(
    tool: str,
    config: QuantizationConfig,
    layers: Sequence[LayerFacts],
    refusal: Callable[[LayerChoice, str, Sequence[int]], str | None],
) -> list[LayerChoice]:
    """Return the choices that quantize a layer, once it is clear that a tool has each of them."""
    facts = {layer.name: layer for layer in layers}
    quantized = [choice for choice in config if choice.method != "float"]
    _require_held(
        tool, quantized, lambda choice: refusal(choice, *_kind_and_shape(facts, choice.layer))
    )
    return quantized


def _require_held(
    tool: str, choices: Sequence[LayerChoice], refusal: Callable[[LayerChoice], str | None]
) -> None:
    """Raise `SettingsError` with the first layers that a tool does not have."""
    reasons = {choice.layer: refusal(choice) for choice in choices}
    refused = {layer: reason for layer, reason in reasons.items() if reason is not None}
    if refused:
        first = "; ".join(f"{layer!r}: {why}" for layer, why in list(refused.items())[:3])
        raise SettingsError(
            f"{counted(len(refused), 'layer')} cannot be said in a recipe of {tool}: {first}; "
            f"give a search "
            f"the options that it has, or exclude these layers"
        )
