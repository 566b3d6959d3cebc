"""Packed files: as large as the cost says, and the same outputs bit for bit when read back."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rlquant
from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
)
from rlquant.config import PRESCRIBED_BITS, GroupSize, widths_of
from rlquant.cost.budget import NetworkCosts, total
from rlquant.cost.file_layout import PROLOGUE, encode_varint, header_bytes_at_most, stored_tensors
from rlquant.errors import FileFormatError
from rlquant.export.rlq.packed import pack, read_config, unpack
from rlquant.layers import find_layers
from rlquant.network.modules import quantized_weight
from rlquant.weight_sites import layer_kind
from small_networks import NETWORKS, TiedNet, fresh, samples, samples_of

OTHER_WEIGHTS = 7
PLACED = (
    *("symmetric", "clipped", "fixed_point", "affine", "linear", "quantile", "kmeans"),
    *("signed_scale", *PRESCRIBED_BITS),
)


def quantizable(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if layer_kind(module)]


@cache
def problem_of(name: str) -> QuantizationProblem:
    return QuantizationProblem(
        fresh(NETWORKS[name].build).eval(),
        samples_of(name, 40),
        samples_of(name, 20, seed=1),
        budget=Budget.average_bits(64),
        evaluation=EvaluationSettings(calibration_samples=40),
    )


@st.composite
def choices(draw: st.DrawFn, layer: str) -> LayerChoice:
    method = draw(st.sampled_from(("float", "post_training", "post_training", "ternary")))
    points = draw(st.sampled_from(PLACED))
    activation_bits = None if layer == "words" else draw(st.sampled_from((None, 4, 8)))
    return LayerChoice(
        layer,
        draw(st.sampled_from(widths_of(points))),
        rounding=draw(st.sampled_from(("nearest", "stochastic"))),
        method=method,
        points=points,
        group_size=draw(st.sampled_from(("channel", "tensor", 1, 5, 32, 200, 2**16))),
        activation_bits=activation_bits,
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_files_have_the_size_of_the_score_and_give_the_outputs_back(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(NETWORKS)))
    problem = problem_of(name)
    layers = [facts.name for facts in problem.layers]
    config = QuantizationConfig(tuple(data.draw(choices(layer)) for layer in layers))
    quantized = problem.build(config)
    packed = pack(quantized)
    assert len(packed) == problem.evaluate(config).size_bytes
    other = fresh(NETWORKS[name].build, OTHER_WEIGHTS)
    loaded = unpack(packed, other)
    inputs, _ = samples_of(name, 9, seed=2)
    assert torch.equal(loaded(inputs), quantized(inputs))
    assert not loaded.training
    assert pack(loaded) == packed
    coded = pack(quantized, entropy_coding=True)
    assert len(coded) <= len(packed)
    assert torch.equal(unpack(coded, other)(inputs), quantized(inputs))


def test_one_file_holds_channels_tensors_and_groups(mlp: nn.Module) -> None:
    sizes: dict[str, GroupSize] = {"first": "channel", "second": "tensor", "last": 3}
    config = QuantizationConfig(
        tuple(LayerChoice(layer, 4, group_size=size) for layer, size in sizes.items())
    )
    quantized = rlquant.quantize(mlp, config)
    loaded = unpack(pack(quantized), fresh(NETWORKS["mlp"].build, OTHER_WEIGHTS))
    found = {name: quantized_weight(loaded.get_submodule(name)) for name in sizes}
    assert {n: w.tensor.group_size for n, w in found.items()} == sizes
    assert [w.tensor.scale.numel() for w in found.values()] == [8, 1, 3 * 3]
    inputs, _ = samples_of("mlp", 9)
    assert torch.equal(loaded(inputs), quantized(inputs))


@pytest.mark.parametrize(
    ("version", "said"),
    [(1, "quantize the network again and save it"), (5, "use a newer rlquant")],
)
def test_other_versions_are_refused(
    version: int, said: str, packed_mlp: bytes, mlp: nn.Module
) -> None:
    other = packed_mlp[:4] + version.to_bytes(2, "little") + packed_mlp[6:]
    with pytest.raises(FileFormatError, match=f"version {version}, .* reads version 4; {said}"):
        unpack(other, mlp)


def test_the_bytes_of_a_file() -> None:
    network = fresh(lambda: nn.Linear(3, 2, bias=False))
    network.weight.data = torch.tensor([[0.5, -1.0, 0.25], [1, 2, -3]])
    packed = pack(rlquant.quantize(network, QuantizationConfig((LayerChoice("", 3),))))
    assert packed[: PROLOGUE.size].hex() == (
        "524c5189" "0400" "0000" "1c000000" "0700000000000000" "492caa6fe89792c20bcae530192a7091"
    )  # fmt: skip
    assert packed[PROLOGUE.size :].hex() == (
        "00000000" "01000000" "0006" "776569676874" "ff" "020203" "0100000300000100"
        "467b00" "0034003a"
    )  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_headers_are_as_small_as_they_are_said_to_be(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(NETWORKS)))
    network = fresh(NETWORKS[name].build)
    config = QuantizationConfig(tuple(data.draw(choices(n)) for n in quantizable(network)))
    quantized = rlquant.quantize(network, config, samples_of(name, 32), calibration_samples=32)
    most = header_bytes_at_most(stored_tensors(network))
    for entropy_coding in (False, True):
        packed = pack(quantized, entropy_coding=entropy_coding)
        assert PROLOGUE.size + PROLOGUE.unpack(packed[: PROLOGUE.size])[2] <= most
    names = stored_tensors(network).items()
    axes = sum(len(encode_varint(size)) for _, tensor in names for size in tensor.shape)
    numbers = sum(len(encode_varint(tensor.numel())) for _, tensor in names)
    assert most == 44 + sum(len(n) + 4 + 8 + 3 for n, _ in names) + axes + numbers


@pytest.mark.parametrize(
    ("dtype", "magnitude"),
    [
        (torch.float16, 1.0),
        (torch.bfloat16, 1.0),
        (torch.float64, 1.0),
        (torch.float32, 1e-6),  # scales do not fit float16
        (torch.float32, 1e5),
        (torch.float32, 0.0),
    ],
)
@pytest.mark.parametrize("points", ["clipped", "fixed_point", "affine", "kmeans", "ternary"])
def test_other_float_types_and_magnitudes(
    dtype: torch.dtype, magnitude: float, points: str
) -> None:
    network = fresh(NETWORKS["conv"].build).eval().to(dtype)
    for module in network.modules():
        if layer_kind(module):
            module.weight.data *= magnitude
    images = samples_of("conv", 5)[0].to(dtype)
    names = [name for name in quantizable(network) if name != "classifier"]
    how = {"method": "ternary"} if points == "ternary" else {"points": points}
    config = QuantizationConfig(tuple(LayerChoice(n, 3, **how) for n in names))
    quantized = rlquant.quantize(network, config)
    packed = pack(quantized)
    layers = find_layers(network, images, exclude=("classifier",))
    size = NetworkCosts.of(network, layers).size
    assert len(packed) == total(size, layers, {c.layer: c for c in config})
    loaded = unpack(packed, fresh(NETWORKS["conv"].build, OTHER_WEIGHTS).to(dtype))
    assert torch.equal(loaded(images), quantized(images))


def test_save_load_and_config(
    quantized_mlp: nn.Module, mlp_config: QuantizationConfig, packed_mlp: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.rlq"
    path.write_text("an older file")
    assert rlquant.save(quantized_mlp, path) == path.stat().st_size
    assert path.read_bytes() == packed_mlp
    assert [p.name for p in tmp_path.iterdir()] == ["model.rlq"]
    network = fresh(NETWORKS["mlp"].build, OTHER_WEIGHTS).train()
    before = copy.deepcopy(network.state_dict())
    loaded = rlquant.load(str(path), network)
    inputs, _ = samples_of("mlp", 9)
    assert torch.equal(loaded(inputs), quantized_mlp(inputs))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert sorted(read_config(path), key=str) == sorted(mlp_config, key=str)


def test_kept_layers_are_not_in_the_config(tmp_path: Path, mlp: nn.Module) -> None:
    kept = LayerChoice("first", 32, method="float")
    config = QuantizationConfig((kept, LayerChoice("last", 4)))
    rlquant.save(rlquant.quantize(mlp, config), tmp_path / "x.rlq")
    assert list(read_config(tmp_path / "x.rlq")) == [LayerChoice("last", 4)]


def test_a_network_whose_layers_are_all_kept_is_saved(mlp: nn.Module) -> None:
    config = QuantizationConfig((LayerChoice("first", 32, method="float"),))
    loaded = unpack(pack(rlquant.quantize(mlp, config)), fresh(NETWORKS["mlp"].build, 3))
    inputs, _ = samples_of("mlp", 9)
    assert torch.equal(loaded(inputs), mlp(inputs))


def test_learned_points_and_distilled_layers_keep_their_choice(mlp: nn.Module) -> None:
    from rlquant.network.quantize import build_quantized
    from rlquant.network.weights import quantize_weight

    choice = LayerChoice("first", 2, method="distilled", points="learned")
    config = QuantizationConfig((choice,))
    quantized = build_quantized(mlp, config, lambda c: quantize_weight(mlp.first.weight, c), None)
    loaded = unpack(pack(quantized), mlp)
    assert loaded.first.parametrizations.weight[0].choice == choice
    assert torch.equal(loaded.first.weight, quantized.first.weight)


def channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last)


def test_channels_last_networks_keep_their_layout() -> None:
    images = samples_of("conv", 9)[0].contiguous(memory_format=torch.channels_last)
    config = QuantizationConfig((LayerChoice("stem", 3), LayerChoice("grouped", 4)))
    quantized = rlquant.quantize(channels_last(fresh(NETWORKS["conv"].build)), config)
    loaded = unpack(pack(quantized), channels_last(fresh(NETWORKS["conv"].build, OTHER_WEIGHTS)))
    assert loaded.stem.weight.stride() == quantized.stem.weight.stride()
    assert not loaded.stem.weight.is_contiguous()
    assert torch.equal(loaded(images), quantized(images))


def test_the_layout_is_that_of_the_network_loaded_into() -> None:
    config = QuantizationConfig((LayerChoice("stem", 3), LayerChoice("grouped", 4)))
    quantized = rlquant.quantize(fresh(NETWORKS["conv"].build), config)
    loaded = unpack(pack(quantized), channels_last(fresh(NETWORKS["conv"].build)))
    for name in ("stem", "grouped"):
        weight = loaded.get_submodule(name).weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(weight, quantized.get_submodule(name).weight)


def test_tied_weights_are_stored_once_and_stay_tied() -> None:
    sentences, _ = samples(9, (5,), words=True)
    quantized = rlquant.quantize(fresh(TiedNet), QuantizationConfig((LayerChoice("middle", 4),)))
    packed = pack(quantized)
    assert packed.count(b"middle.") == 1
    assert b"logits" not in packed
    loaded = unpack(packed, fresh(TiedNet, OTHER_WEIGHTS))
    assert loaded.logits.weight is loaded.words.weight
    assert torch.equal(loaded(sentences), quantized(sentences))


def test_the_counter_of_training_steps_is_not_stored() -> None:
    network = fresh(NETWORKS["conv"].build)
    network(samples_of("conv", 9)[0])
    quantized = rlquant.quantize(network, QuantizationConfig((LayerChoice("stem", 4),)))
    loaded = unpack(pack(quantized), fresh(NETWORKS["conv"].build))
    assert int(quantized.stem_norm.num_batches_tracked) == 1
    assert int(loaded.stem_norm.num_batches_tracked) == 0


def test_a_network_that_is_one_layer() -> None:
    network = fresh(lambda: nn.Linear(6, 4))
    quantized = rlquant.quantize(network, QuantizationConfig((LayerChoice("", 5),)))
    loaded = unpack(pack(quantized), fresh(lambda: nn.Linear(6, 4), OTHER_WEIGHTS))
    assert torch.equal(loaded.weight, quantized.weight)


class Buffers(nn.Module):
    """A layer beside tensors of every other sort."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("mask", torch.rand(3) > 0.5)
        self.register_buffer("count", torch.randint(-9, 9, ()))
        self.register_buffer("nothing", torch.empty(2, 0))
        self.register_buffer("phase", torch.randn(3, dtype=torch.complex64).conj())
        self.register_buffer("brain", torch.randn(2, 3).bfloat16().T)
        self.register_buffer("passing", torch.randn(3), persistent=False)


def test_every_other_tensor_is_stored_as_it_is() -> None:
    network = fresh(Buffers)
    quantized = rlquant.quantize(network, QuantizationConfig((LayerChoice("layer", 5),)))
    loaded = unpack(pack(quantized), fresh(Buffers, OTHER_WEIGHTS))
    for name in ("mask", "count", "nothing", "phase", "brain"):
        assert torch.equal(getattr(loaded, name), getattr(network, name)), name


def test_copies_and_state_dictionaries_pack_alike(
    quantized_mlp: nn.Module, packed_mlp: bytes
) -> None:
    assert pack(copy.deepcopy(quantized_mlp)) == packed_mlp
    loaded = unpack(packed_mlp, fresh(NETWORKS["mlp"].build, OTHER_WEIGHTS))
    state = {name: value.clone() for name, value in quantized_mlp.state_dict().items()}
    loaded.load_state_dict(state)
    assert pack(loaded) == packed_mlp


def test_a_file_does_not_depend_on_the_weights_loaded_over(packed_mlp: bytes) -> None:
    def state(seed: int) -> dict[str, Tensor]:
        return unpack(packed_mlp, fresh(NETWORKS["mlp"].build, seed)).state_dict()

    one, two = state(1), state(2)
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_networks_on_a_gpu(quantized_mlp: nn.Module, packed_mlp: bytes) -> None:
    there = copy.deepcopy(quantized_mlp).to("cuda")
    assert pack(there) == packed_mlp
    loaded = unpack(packed_mlp, fresh(NETWORKS["mlp"].build).to("cuda"))
    inputs = samples_of("mlp", 9)[0].to("cuda")
    assert torch.equal(loaded(inputs), there(inputs))
