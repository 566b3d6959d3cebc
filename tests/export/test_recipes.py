"""Recipes of other tools say of every layer what was found, and the tools take them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from rlquant import LayerChoice, LayerFacts, QuantizationConfig, recipes
from rlquant.errors import SettingsError

CONFIG = QuantizationConfig(
    (
        LayerChoice("0", 4, points="clipped", group_size=32, rounding="gptq"),
        LayerChoice("2", 3, points="symmetric"),
        LayerChoice("4", 32, method="float"),
    )
)
LAYERS = [
    LayerFacts(name=name, kind="linear", shape=shape, parameters=1, macs=1)
    for name, shape in (("0", (32, 64)), ("2", (16, 32)), ("4", (10, 16)))
]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10)
    )


def test_llm_compressor_has_a_group_for_each_scheme() -> None:
    recipe = yaml.safe_load(recipes.llm_compressor(CONFIG, LAYERS))
    modifier = recipe["quant_stage"]["quant_modifiers"]["GPTQModifier"]
    assert modifier["ignore"] == ["4"]
    by_target = {
        target: group["weights"]
        for group in modifier["config_groups"].values()
        for target in group["targets"]
    }
    assert (by_target["0"]["num_bits"], by_target["0"]["group_size"]) == (4, 32)
    assert (by_target["2"]["num_bits"], by_target["2"]["strategy"]) == (3, "channel")


def test_compressed_tensors_reads_its_groups() -> None:
    quantization = pytest.importorskip("compressed_tensors.quantization")
    recipe = yaml.safe_load(recipes.llm_compressor(CONFIG, LAYERS))
    groups = recipe["quant_stage"]["quant_modifiers"]["GPTQModifier"]["config_groups"]
    for group in groups.values():
        scheme = quantization.QuantizationScheme.model_validate(group)
        assert scheme.weights.num_bits in (3, 4)


def test_torchao_quantizes_a_network_by_it() -> None:
    torchao = pytest.importorskip("torchao.quantization")
    quantized = network()
    torchao.quantize_(quantized, recipes.torchao(CONFIG, LAYERS), filter_fn=None)
    assert [
        str(getattr(layer.weight, "target_dtype", "float")).removeprefix("torch.")
        for layer in (quantized[0], quantized[2], quantized[4])  # type: ignore[index]
    ] == ["int4", "int3", "float"]
    assert quantized[0].weight.block_size == (1, 32)  # type: ignore[index]


def test_modelopt_has_an_entry_for_each_layer_and_leaves_the_rest_float() -> None:
    recipe = yaml.safe_load(recipes.modelopt(CONFIG, LAYERS))
    assert recipe["algorithm"] == "mse"  # as scales are clipped
    assert recipe["quant_cfg"] == [
        {"quantizer_name": "*", "enable": False},
        {"quantizer_name": "0.weight_quantizer", "cfg": {"num_bits": 4, "block_sizes": {-1: 32}}},
        {"quantizer_name": "2.weight_quantizer", "cfg": {"num_bits": 3, "axis": 0}},
    ]


def test_modelopt_quantizes_a_network_by_it() -> None:
    modelopt = pytest.importorskip("modelopt.torch.quantization")
    recipe = yaml.safe_load(recipes.modelopt(CONFIG, LAYERS))
    quantized = modelopt.quantize(network(), recipe, lambda it: it(torch.ones(2, 64)))
    weights = [layer.weight_quantizer for layer in (quantized[0], quantized[2], quantized[4])]
    assert [w.num_bits if w.is_enabled else "float" for w in weights] == [4, 3, "float"]
    assert weights[0].block_sizes[-1] == 32


def test_llama_cpp_has_a_line_for_each_tensor() -> None:
    pytest.importorskip("gguf")
    from gguf_models import tiny_network

    layers = [f"model.layers.0.mlp.{name}" for name in ("gate_proj", "down_proj")]
    choices = [LayerChoice(name, 4, points="clipped", group_size=32) for name in layers]
    text = recipes.llama_cpp(QuantizationConfig(tuple(choices)), tiny_network())
    pairs = [line.rsplit("=", 1) for line in text.splitlines()]
    assert [kind for _, kind in pairs] == ["q4_0", "q4_0"]
    for (pattern, _), name in zip(pairs, ("ffn_gate", "ffn_down"), strict=True):
        assert re.search(pattern, f"blk.0.{name}.weight")
        assert not re.search(pattern, f"blk.10.{name}.weight")
    assert not re.search(r"\s", text.replace("\n", ""))  # llama-quantize splits at spaces


def test_what_a_tool_does_not_have_is_said_by_layer() -> None:
    odd = QuantizationConfig((LayerChoice("0", 4, points="kmeans"), LayerChoice("2", 2)))
    with pytest.raises(SettingsError, match=r"1 layer .* of llm-compressor: '0': 4"):
        recipes.llm_compressor(odd, LAYERS)
    with pytest.raises(SettingsError, match=r"1 layer .* of ModelOpt: '0': points='kmeans'"):
        recipes.modelopt(odd, LAYERS)
    with pytest.raises(SettingsError, match="'0' of the configuration is none of"):
        recipes.llm_compressor(odd, LAYERS[1:])


def test_the_command_writes_one(tmp_path: Path) -> None:
    from problems import problem
    from reported_runs import searched
    from rlquant import Budget, SearchSpace
    from rlquant_agents.cli import export
    from small_networks import trained

    space = SearchSpace(bits=(2, 4), points=("clipped",))
    own = problem("mlp", trained("mlp"), space=space, budget=Budget.average_bits(8.0))
    searched(tmp_path, own, evaluations=2, remember={"task": "digits/mlp"})
    assert export.main([str(tmp_path), "--recipe", "llm-compressor"]) == 0
    recipe = yaml.safe_load((tmp_path / "llm-compressor.yaml").read_text())
    assert "QuantizationModifier" in recipe["quant_stage"]["quant_modifiers"]
    assert export.main([str(tmp_path / "model.rlq"), "--task", "x", "--recipe", "torchao"]) == 1
