"""Weights that are parts of attentions and recurrent modules, from finding to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rlquant
from module_parts import FEATURES, NETWORKS, STEPS, WIDTH, made, samples
from rlquant import Budget, LayerChoice, QuantizationConfig, QuantizationProblem, SearchSpace
from rlquant.errors import ChoiceError, NetworkError, QuantizationError
from rlquant.export.rlq.packed import read_config
from rlquant.layers import LayerFacts
from rlquant.training.settings import TrainSettings
from rlquant.weight_sites import ATTENTION, PARTS, RECURRENT, site_of, weight_sites
from rlquant_agents import search

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested"),
]

SPACE = SearchSpace(bits=(3, 4, 8), group_size=("channel", 8))


def facts_of(name: str) -> dict[str, LayerFacts]:
    return {f.name: f for f in rlquant.find_layers(made(name), samples(2, 0)[0])}


def squared(outputs: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    """A loss that depends on the outputs alone."""
    sums = outputs.square().flatten(1).sum(dim=1).sum()
    return sums, sums


def problem_of(name: str, space: SearchSpace | None = SPACE) -> QuantizationProblem:
    return QuantizationProblem(
        made(name), samples(12, 1), samples(12, 2),
        budget=Budget.average_bits(6.0), space=space, objective=squared,
    )  # fmt: skip


def everywhere(name: str, bits: int, **fields: object) -> QuantizationConfig:
    choices = (LayerChoice(n, bits, **fields) for n in weight_sites(made(name)))  # type: ignore[arg-type]
    return QuantizationConfig(tuple(choices))


# --- what is found


def test_an_attention_has_its_projections_as_layers() -> None:
    found = facts_of("vit")
    place, rows = "blocks.0.self_attention", STEPS * WIDTH * WIDTH
    joint, out = found[f"{place}.in_proj_weight"], found[f"{place}.out_proj"]
    assert (joint.kind, joint.shape) == (ATTENTION, (3 * WIDTH, WIDTH))
    assert (joint.macs, out.macs) == (3 * rows, rows)
    assert (out.kind, out.shape, out.parameters) == (ATTENTION, (WIDTH, WIDTH), WIDTH * WIDTH)
    assert (joint.calls, joint.channel_axis, joint.has_bias) == (1, 0, False)
    names = list(found)
    assert names.index(joint.name) + 1 == names.index(out.name) < names.index("blocks.0.mlp.0")


def test_projections_of_other_widths_are_layers_of_their_own() -> None:
    found = facts_of("cross-attention")
    macs = {n.rpartition(".")[2]: f.macs for n, f in found.items() if f.kind == ATTENTION}
    assert macs == {
        "q_proj_weight": 2 * WIDTH * WIDTH,  # two queries
        "k_proj_weight": STEPS * WIDTH * 12,
        "v_proj_weight": STEPS * WIDTH * 12,
        "out_proj": 2 * WIDTH * WIDTH,
    }
    assert found["attention.k_proj_weight"].shape == (WIDTH, 12)


def test_a_recurrent_module_has_its_weights_as_layers() -> None:
    found = {n: f for n, f in facts_of("lstm").items() if f.kind == RECURRENT}
    directions = ("", "_reverse")
    assert list(found) == [
        f"rnn.weight_{part}_l{layer}{direction}"
        for layer in (0, 1)
        for direction in directions
        for part in ("ih", "hh")
    ]
    assert found["rnn.weight_ih_l0"].shape == (4 * 8, FEATURES)
    assert found["rnn.weight_ih_l1"].shape == (4 * 8, 16)
    assert found["rnn.weight_hh_l1_reverse"].macs == STEPS * 4 * 8 * 8
    assert facts_of("gru")["rnn.weight_ih_l0"].macs == STEPS * 3 * 8 * FEATURES
    projection = facts_of("projected-lstm")["rnn.weight_hr_l0"]
    assert (projection.shape, projection.macs) == ((5, 8), STEPS * 5 * 8)


def test_packed_sequences_count_their_own_steps() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(FEATURES, 8)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
            out: Tensor = self.rnn(packed)[1]
            return out

    found = {f.name: f for f in rlquant.find_layers(Packed().eval(), samples(2, 0)[0])}
    assert found["rnn.weight_hh_l0"].macs == (5 + 3) * 3 * 8 * 8 // 2


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_is_found_by_its_name(name: str) -> None:
    network = made(name)
    for layer, site in weight_sites(network).items():
        assert site == site_of(network, layer)
        assert network.state_dict()[site.tensor].equal(site.weight_in(network))
    for missing in ("rnn.weight_ih_l9", "nothing.weight", "rnn.bias_ih_l0"):
        with pytest.raises(KeyError):
            site_of(network, missing)


def test_a_recurrent_module_may_be_the_network() -> None:
    network = nn.GRU(FEATURES, 8, batch_first=True)
    found = rlquant.find_layers(network, samples(2, 0)[0])
    assert [f.name for f in found] == ["weight_ih_l0", "weight_hh_l0"]
    config = QuantizationConfig(tuple(LayerChoice(f.name, 4) for f in found))
    quantized = rlquant.quantize(network, config)
    x = samples(3, 1)[0]
    loaded = rlquant.unpack(rlquant.pack(quantized), network)
    assert torch.equal(loaded(x)[0], quantized(x)[0])


# --- search, file, plain network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("space", [SPACE, None], ids=["space", "default"])
@torch.no_grad()
def test_a_network_is_searched_saved_and_loaded_bit_for_bit(
    name: str, space: SearchSpace | None, tmp_path: Path
) -> None:
    network, path = made(name), tmp_path / "model.rlq"
    result = search(
        network, samples(12, 1), samples(12, 2), budget=Budget.average_bits(6.0), space=space,
        objective=squared, evaluations=10, searcher="local-swap",
    )  # fmt: skip
    assert len(result.history) == 10
    assert result.score.average_bits <= 6.0
    inputs = samples(12, 2)[0]
    outputs = result.network(inputs)
    assert float(squared(outputs, inputs)[0]) / 12 == pytest.approx(result.score.loss, rel=1e-6)
    assert rlquant.save(result.network, path) == result.score.size_bytes == path.stat().st_size
    loaded, plain = rlquant.load(path, network), rlquant.dequantize(result.network)
    assert torch.equal(loaded(inputs), outputs)
    assert torch.equal(plain(inputs), outputs)
    for layer, site in weight_sites(network).items():
        assert torch.equal(site.weight_in(plain), site.weight_in(loaded)), layer
        assert not torch.equal(site.weight_in(plain), site.weight_in(network)), layer
    assert [choice.layer for choice in read_config(path)] == sorted(weight_sites(network))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_part_changes_the_outputs(name: str) -> None:
    network, inputs = made(name), samples(6, 3)[0]
    for layer, site in weight_sites(network).items():
        config = QuantizationConfig((LayerChoice(layer, 3),))
        quantized = rlquant.quantize(network, config)
        assert not torch.equal(quantized(inputs), network(inputs)), layer
        other = made(name).requires_grad_(False)  # recurrent kernels depend on it
        site.weight_in(other).copy_(site.weight_in(quantized))
        assert torch.equal(quantized(inputs), other(inputs)), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_depend_on_the_configuration_alone(name: str) -> None:
    configs = [everywhere(name, bits) for bits in (8, 3)]
    last = configs[0].choices[-1].layer
    configs.append(
        QuantizationConfig((*configs[0].choices[:-1], LayerChoice(last, 3)))  # shares a prefix
    )
    problem = problem_of(name)
    found = [problem.evaluate(config).loss for config in (*configs, *configs[::-1])]
    assert found[:3] == found[:2:-1]
    assert found[:3] == [problem_of(name).evaluate(config).loss for config in configs]


def test_prefixes_are_shared_up_to_the_module_of_a_part() -> None:
    problem = problem_of("lstm")
    stages = problem.evaluator.incremental.stages
    assert [len(stage.segment.decided) for stage in stages] == [8, 1]


@torch.no_grad()
def test_an_encoder_layer_takes_the_quantized_weights_on_its_fused_path() -> None:
    network, inputs = made("encoder"), samples(6, 3)[0]
    quantized = rlquant.quantize(network, everywhere("encoder", 3))
    fused = quantized(inputs)
    handles = [m.register_forward_hook(lambda *_: None) for m in quantized.modules()]
    plain = quantized(inputs)  # hooks take the fused path away
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
    assert float((fused - network(inputs)).abs().max()) > 1e-3


def test_a_network_that_was_run_with_gradients_is_dequantized() -> None:
    inputs = samples(4, 3)[0]
    for name in NETWORKS:
        quantized = rlquant.quantize(made(name), everywhere(name, 4))
        with torch.enable_grad():
            outputs = quantized(inputs)
        plain = rlquant.dequantize(quantized)
        assert torch.allclose(plain(inputs), outputs, atol=1e-5), name
        assert {n for n, _ in plain.named_parameters()} == {
            n for n, _ in made(name).named_parameters()
        }


def test_biases_of_other_layers_are_corrected_as_before() -> None:
    quantized = rlquant.quantize(made("lstm"), everywhere("lstm", 3), samples(12, 1))
    assert not torch.equal(quantized.tags.bias, made("lstm").tags.bias)
    assert torch.equal(quantized.rnn.bias_ih_l0, made("lstm").rnn.bias_ih_l0)


# --- what is refused


@pytest.mark.parametrize("rounding", ["gptq", "learned"])
def test_parts_have_no_layer_hessian(rounding: str) -> None:
    space = SearchSpace(bits=(3, 4), rounding=(rounding,))  # type: ignore[arg-type]
    with pytest.raises(ChoiceError, match=r"layer 'rnn.weight_ih_l0': rounding='\w+' is for"):
        problem_of("lstm", space)
    config = QuantizationConfig((LayerChoice("rnn.weight_ih_l0", 3, rounding),))  # type: ignore[arg-type]
    with pytest.raises(QuantizationError, match="there are no moments"):
        rlquant.quantize(made("lstm"), config, samples(12, 1))


@pytest.mark.parametrize("name", ["lstm", "vit"])
def test_parts_have_no_inputs_of_their_own(name: str) -> None:
    space = SearchSpace(bits=(3, 4), activation_bits=(8,))
    with pytest.raises(ChoiceError, match="is a part of its module"):
        problem_of(name, space)
    with pytest.raises(ChoiceError, match="a part of a module none of its own"):
        rlquant.quantize(made(name), everywhere(name, 4, activation_bits=8), samples(12, 1))


@pytest.mark.parametrize(
    "fields", [{"method": "ternary"}, {"method": "distilled"}, {"points": "learned"}]
)
def test_parts_are_not_trained(fields: dict[str, str]) -> None:
    config = QuantizationConfig((LayerChoice("rnn.weight_ih_l0", 2, **fields),))  # type: ignore[arg-type]
    data = (samples(12, 1)[0], torch.zeros(12, STEPS, dtype=torch.long))
    with pytest.raises(ChoiceError, match=r"layer 'rnn.weight_ih_l0': method=.* trains the weight"):
        rlquant.train(made("lstm"), config, data)
    options = {name: (option,) for name, option in fields.items()}
    with pytest.raises(ChoiceError, match="trains the weight"):
        QuantizationProblem(
            made("lstm"), data, samples(12, 2), budget=Budget.average_bits(4.0), fidelity="tuned",
            space=SearchSpace(bits=(2, 4), **options),  # type: ignore[arg-type]
            objective=squared, training=TrainSettings(steps=1),
        )  # fmt: skip


def test_other_layers_are_trained_beside_parts() -> None:
    fields = [LayerChoice(n, 3) for n in weight_sites(made("gru")) if n != "tags"]
    config = QuantizationConfig((*fields, LayerChoice("tags", 3, method="distilled")))
    inputs, _ = samples(12, 1)
    trained, _ = rlquant.train(
        made("gru"), config, (inputs, torch.zeros(12)), objective=squared,
        settings=TrainSettings(steps=3),
    )  # fmt: skip
    frozen = rlquant.quantize(made("gru"), QuantizationConfig(tuple(fields)))
    for choice in fields:
        site = site_of(trained, choice.layer)
        assert torch.equal(site.weight_in(trained), site.weight_in(frozen))
    assert not torch.equal(trained.tags.weight, made("gru").tags.weight)


def test_the_default_space_of_training_leaves_parts_untrained() -> None:
    space = SearchSpace.for_network(made("lstm"), "tuned")
    own = space.of_layer("rnn.weight_ih_l0")
    assert own.method == ("post_training",)
    assert "learned" not in own.points
    assert "distilled" in space.of_layer("tags").method


def test_onnx_files_cannot_hold_parts() -> None:
    pytest.importorskip("onnx")
    quantized = rlquant.quantize(made("gru"), everywhere("gru", 4))
    with pytest.raises(NetworkError, match=r"layer 'rnn.weight_ih_l0' .* an ONNX file cannot hold"):
        rlquant.export_onnx(quantized, samples(2, 0)[0], "model.onnx")


def test_parts_that_stay_float_are_named() -> None:
    names = [n for n, s in weight_sites(made("lstm")).items() if s.kind in PARTS]
    found = rlquant.find_layers(made("lstm"), samples(2, 0)[0], exclude=["rnn.*"])
    assert [f.name for f in found] == ["tags"]
    space = SearchSpace(bits=(3, 4, 8), exclude=("rnn.*",))
    problem = problem_of("lstm", space)
    floats = sum(site_of(problem.network, n).weight_in(problem.network).nbytes for n in names)
    assert any(f"{floats:,} of layers named in exclude" in note for note in problem.notes)


def test_a_tied_part_stays_float() -> None:
    network = made("lstm")
    network.rnn.weight_hh_l0_reverse = network.rnn.weight_hh_l0
    assert "rnn.weight_hh_l0" not in [
        f.name for f in rlquant.find_layers(network, samples(2, 0)[0])
    ]


def test_nested_tensors_are_refused_with_what_to_do() -> None:
    layer = nn.TransformerEncoderLayer(FEATURES, 2, 8, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1).eval()
    mask = torch.tensor([[False] * STEPS, [False] * 3 + [True] * 2])
    inputs = {"src": samples(2, 0)[0], "src_key_padding_mask": mask}
    with pytest.raises(NetworkError, match=r"nested tensors.* use_nested_tensor to False"):
        rlquant.find_layers(encoder, inputs)
    encoder.use_nested_tensor = False
    assert [f.kind for f in rlquant.find_layers(encoder, inputs)].count(ATTENTION) == 2
