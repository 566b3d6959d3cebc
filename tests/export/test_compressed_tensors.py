"""Folders of compressed-tensors, as that package and transformers read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rlquant
from gguf_models import save_model, save_tokenizer, tiny_network
from rlquant import (
    Budget,
    CompressedTensorsTarget,
    Distillation,
    EvaluationSettings,
    LayerChoice,
    LayerFacts,
    NetworkCosts,
    QuantizationConfig,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.errors import ChoiceError, DataError, NetworkError, SettingsError
from rlquant.export.compressed_tensors.scheme import packed
from rlquant.shared_embedding import share_embedding
from strategies import seeded

transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the other tools, while they load

DATA = {"input_ids": torch.randint(300, (12, 16), generator=seeded(0))}
VALIDATION = {"input_ids": torch.randint(300, (6, 16), generator=seeded(1))}
TOKENS = VALIDATION["input_ids"]
PLACES = [
    f"model.layers.{block}.{place}"
    for block in (0, 1)
    for place in ("mlp.down_proj", "mlp.up_proj", "self_attn.o_proj", "self_attn.q_proj")
]


def quantized(*choices: LayerChoice, network: Any = None) -> Any:
    """The choices on as many layers of the decoder, which has rows of 64 and 128."""
    named = [rlquant.LayerChoice(p, c.bits, points=c.points, group_size=c.group_size)
             for p, c in zip(PLACES, choices, strict=False)]  # fmt: skip
    return rlquant.quantize(network or tiny_network(), QuantizationConfig(tuple(named)))


SYMMETRIC = [
    *(LayerChoice("", bits, points="clipped", group_size=32) for bits in range(2, 9)),
    LayerChoice("", 3, points="symmetric", group_size="channel"),
]
ASYMMETRIC = [
    *(LayerChoice("", bits, points="zero_point", group_size=64) for bits in range(2, 9)),
    LayerChoice("", 4, points="zero_point", group_size="channel"),
]


def read(folder: Path, *, dequantize: bool = False) -> Any:
    """The network of a folder, as transformers loads it."""
    config = transformers.CompressedTensorsConfig(dequantize=True) if dequantize else None
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, **({"quantization_config": config} if dequantize else {})
    )


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: network.get_submodule(name).weight.detach() for name in PLACES}  # type: ignore[misc, union-attr, operator]


def logits(network: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(TOKENS).logits
    return found


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_are_packed_as_the_package_packs_them(bits: int) -> None:
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    codes = torch.randint(2**bits, (5, 71), generator=seeded(bits))
    theirs = pack_to_int32((codes - 2 ** (bits - 1)).to(torch.int8), bits)
    assert torch.equal(torch.from_numpy(packed(codes.to(torch.uint8).numpy(), bits)), theirs)


def test_without_zero_points_transformers_loads_the_same_network(tmp_path: Path) -> None:
    own = quantized(*SYMMETRIC)
    export = rlquant.export_compressed_tensors(own, tmp_path / "out")
    loaded = read(tmp_path / "out")
    assert torch.allclose(logits(loaded), logits(own), atol=1e-6)  # decompresses them, too
    ours = weights(own)
    assert all(torch.equal(weight, ours[name]) for name, weight in weights(loaded).items())
    assert export.schemes["model.layers.0.mlp.down_proj"] == "W2A16 g32"
    assert export.histogram()["W3A16 channel"] == 1


def test_with_zero_points_it_dequantizes_to_the_same_network(tmp_path: Path) -> None:
    own = quantized(*[ASYMMETRIC[2]] * 8)  # transformers takes one scheme for all layers here
    rlquant.export_compressed_tensors(own, tmp_path / "out")
    loaded, ours = read(tmp_path / "out", dequantize=True), weights(own)
    assert all(torch.equal(weight, ours[name]) for name, weight in weights(loaded).items())
    assert torch.allclose(logits(loaded), logits(own), atol=1e-6)


def test_the_package_itself_decompresses_every_layer(tmp_path: Path) -> None:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig as TheirConfig
    from safetensors.torch import load_file

    own = quantized(*SYMMETRIC[:4], *ASYMMETRIC[4:])
    rlquant.export_compressed_tensors(own, tmp_path / "out")
    described = json.loads((tmp_path / "out/config.json").read_text())
    theirs = TheirConfig.model_validate(described["quantization_config"])
    stored, ours, seen = load_file(tmp_path / "out/model.safetensors"), weights(own), []
    for group in theirs.config_groups.values():
        for layer in group.targets:
            parts = {n.removeprefix(f"{layer}."): t for n, t in stored.items()
                     if n.startswith(f"{layer}.")}  # fmt: skip
            parts["weight_scale"] = parts["weight_scale"].float()  # as loading casts it
            packer = BaseCompressor.get_value_from_registry(theirs.format)
            assert torch.equal(packer.decompress(parts, group)["weight"], ours[layer])
            seen.append(layer)
    assert sorted(seen) == sorted(PLACES)
    assert set(theirs.ignore) >= {"lm_head", "model.layers.0.self_attn.k_proj"}


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source")
    own = quantized(*SYMMETRIC)
    for name in ("a", "b", "b"):
        rlquant.export_compressed_tensors(own, tmp_path / name, source=source)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in "ab")
    assert one == two
    copied = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert copied < one.keys()
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "a")("the a")["input_ids"]


def test_a_tied_head_stays_tied(tmp_path: Path) -> None:
    network = tiny_network(tied=True)
    share_embedding(network)
    own = quantized(LayerChoice("", 4, points="clipped", group_size=32), network=network)
    rlquant.export_compressed_tensors(own, tmp_path / "out")
    assert torch.allclose(logits(read(tmp_path / "out")), logits(own), atol=1e-6)
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"]


def problem_of(space: SearchSpace | None = None, **settings: Any) -> QuantizationProblem:
    settings = {"budget": Budget.size_bytes(10**7), **settings}
    return QuantizationProblem(
        tiny_network(),
        DATA,
        VALIDATION,
        objective=Distillation("kl"),
        space=space,
        target=CompressedTensorsTarget(zero_points=space is EVERY),
        evaluation=EvaluationSettings(calibrate="none", prefix_bytes=0),
        **settings,
    )


EVERY = SearchSpace(
    bits=(2, 3, 4, 8),
    points=("clipped", "zero_point", "kmeans"),
    group_size=("channel", 32, 64, 48),
    method=("post_training", "float"),
)


def test_the_size_of_every_configuration_is_that_of_its_file(tmp_path: Path) -> None:
    import numpy as np

    problem, draws, seen = problem_of(EVERY), np.random.default_rng(0), set()
    assert set(problem.feasible.names) == {
        "model.layers.0.self_attn.q_proj+k_proj+v_proj", "model.layers.0.self_attn.o_proj",
        "model.layers.0.mlp.gate_proj+up_proj", "model.layers.0.mlp.down_proj",
        "model.layers.1.self_attn.q_proj+k_proj+v_proj", "model.layers.1.self_attn.o_proj",
        "model.layers.1.mlp.gate_proj+up_proj", "model.layers.1.mlp.down_proj",
    }  # fmt: skip
    there = [o for o, own in zip(problem.feasible.options, problem.feasible.own[0], strict=True)
             if own and o.method != "float"]  # fmt: skip
    assert CompressedTensorsTarget().restrict(EVERY, tiny_network()).points == ("clipped",)
    kinds = {(b, "clipped") for b in (2, 3, 4, 8)} | {(4, "zero_point"), (8, "zero_point")}
    assert {(o.bits, o.points) for o in there} == kinds
    assert {o.group_size for o in there} == {"channel", 32}  # rows have 64 weights
    for number in range(3):
        config = problem.feasible.config(problem.feasible.sample(draws))
        network = problem.build(config)
        export = rlquant.export_compressed_tensors(network, tmp_path / str(number))
        assert export.bytes == (export.folder / "model.safetensors").stat().st_size
        assert export.bytes == problem.evaluate(config).size_bytes
        seen.add(export.bytes)
    assert len(seen) > 1


def test_where_no_space_is_given_all_widths_are_options() -> None:
    problem = problem_of(budget=Budget.average_bits(8.0))
    options = problem.feasible.options
    assert {o.bits for o in options} == {2, 3, 4, 5, 6, 8}
    assert {o.points for o in options} == {"clipped"}
    narrow = next(i for i, o in enumerate(options) if (o.bits, o.group_size) == (4, 32))
    score = problem.evaluate(problem.feasible.config([narrow] * len(problem.feasible.names)))
    assert 4.5 < score.average_bits < 4.6  # shapes take 16 bytes each


def test_layers_of_which_nothing_fits_are_named() -> None:
    network = tiny_network()
    network.model.layers[0].mlp.down_proj = nn.Linear(100, 64, bias=False)
    for name in ("gate_proj", "up_proj"):
        setattr(network.model.layers[0].mlp, name, nn.Linear(64, 100, bias=False))
    deployment = CompressedTensorsTarget().deploy(network)
    layers = [LayerFacts("model.layers.0.mlp.down_proj", "linear", (64, 100), 6400, 6400)]
    costs = deployment.costs(NetworkCosts.of(network, layers))
    options = SearchSpace(group_size=(64,)).options()
    with pytest.raises(ChoiceError, match=r"down_proj.*rows of 100 weights are no whole groups"):
        deployment.own_options(costs, layers, options)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (LayerChoice("", 4, points="kmeans", group_size=32), "4 bits, kmeans: use one of"),
        (LayerChoice("", 9, points="clipped", group_size=32), "9 bits, clipped: use one of"),
        (LayerChoice("", 4, group_size="tensor"), "use 'channel' or a number"),
        (LayerChoice("", 4, group_size=48), "rows of 128 weights are no whole groups of 48"),
    ],
)
def test_what_the_format_does_not_hold_is_refused(
    choice: LayerChoice, words: str, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=words):
        rlquant.export_compressed_tensors(quantized(choice), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_places_and_sources_that_cannot_be_are_refused(tmp_path: Path) -> None:
    own, source = quantized(SYMMETRIC[0]), save_model(tmp_path / "source")
    export = rlquant.export_compressed_tensors
    embedding = QuantizationConfig((LayerChoice("model.embed_tokens", 4),))
    with pytest.raises(NetworkError, match="it is of kind embedding, only"):
        export(rlquant.quantize(tiny_network(), embedding), tmp_path / "out")
    toy = rlquant.quantize(
        nn.Sequential(nn.Linear(4, 4)), QuantizationConfig((LayerChoice("0", 4),))
    )
    with pytest.raises(NetworkError, match="whose networks have a config"):
        export(toy, tmp_path / "out")
    with pytest.raises(SettingsError, match="is the source"):
        export(own, source, source=source)
    with pytest.raises(DataError, match=r"has no config\.json"):
        export(own, tmp_path / "out", source=tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model-00001-of-2.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match="has other weights"):
        export(own, tmp_path / "other")
    save_tokenizer(tmp_path / "another")
    wide = json.loads((source / "config.json").read_text()) | {"hidden_size": 32}
    (tmp_path / "another/config.json").write_text(json.dumps(wide))
    with pytest.raises(NetworkError, match="is of another network: its hidden_size is '32'"):
        export(own, tmp_path / "out", source=tmp_path / "another")


def test_a_network_without_a_head_is_loaded_too(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32,
    )  # fmt: skip
    network = transformers.BertModel(config).eval()
    name = "encoder.layer.0.attention.self.query"
    choice = LayerChoice(name, 4, points="clipped", group_size=32)
    own = rlquant.quantize(network, QuantizationConfig((choice,)))
    rlquant.export_compressed_tensors(own, tmp_path / "out")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "out")
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        assert torch.allclose(
            loaded(tokens).last_hidden_state, own(tokens).last_hidden_state, atol=1e-6
        )
