"""Networks that can be saved and those that cannot, and freezing."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.errors import NetworkError
from rlquant.export.rlq.packed import pack, unpack
from rlquant.network.modules import install_activation, install_weight
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import ActivationQuantizer
from rlquant.weight_sites import site_of
from small_networks import NETWORKS, fresh, samples_of


def quantized(name: str, **fields: object) -> nn.Module:
    network = fresh(NETWORKS[name].build)
    layers = [n for n, _ in network.named_modules() if n in ("first", "second", "up", "twice")]
    config = QuantizationConfig(tuple(LayerChoice(n, 3, **fields) for n in layers))
    return rlquant.quantize(network, config, samples_of(name, 32), calibration_samples=32)


@pytest.mark.parametrize("name", ["mlp", "transposed", "shared"])
@pytest.mark.parametrize("activation_bits", [None, 4])
def test_frozen_networks_are_plain_and_give_the_same(name: str, activation_bits: int) -> None:
    network = quantized(name, activation_bits=activation_bits)
    inputs, _ = samples_of(name, 9)
    frozen = rlquant.dequantize(network)
    assert not any(parametrize.is_parametrized(module) for module in frozen.modules())
    assert not any("Parametrized" in type(module).__name__ for module in frozen.modules())
    assert torch.equal(frozen(inputs), network(inputs))
    assert torch.equal(pickle.loads(pickle.dumps(frozen))(inputs), network(inputs))
    if activation_bits is None:
        plain = fresh(NETWORKS[name].build, seed=5).eval()
        plain.load_state_dict(frozen.state_dict())
        assert torch.equal(plain(inputs), network(inputs))


def test_freezing_leaves_the_network_and_its_other_copies_alone() -> None:
    network = quantized("mlp")
    other = copy.deepcopy(network)
    inputs, _ = samples_of("mlp", 9)
    before = network(inputs)
    frozen = rlquant.dequantize(network)
    for parameter in frozen.parameters():
        parameter.zero_()
    assert torch.equal(network(inputs), before)
    assert torch.equal(other(inputs), before)
    assert torch.equal(rlquant.dequantize(other)(inputs), before)


def test_frozen_weights_keep_their_layout() -> None:
    network = fresh(NETWORKS["conv"].build).to(memory_format=torch.channels_last)
    config = QuantizationConfig((LayerChoice("conv", 3),))
    frozen = rlquant.dequantize(rlquant.quantize(network, config))
    assert isinstance(frozen.conv.weight, nn.Parameter)
    assert frozen.conv.weight.stride() == network.conv.weight.stride()


@pytest.mark.parametrize("points", ["clipped", "affine", "kmeans"])
def test_a_quantized_network_compiles(points: str) -> None:
    network = quantized("mlp", points=points, activation_bits=8)
    inputs, _ = samples_of("mlp", 9)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(inputs), network(inputs), atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_quantized_network_compiles_to_machine_code() -> None:
    network = quantized("shared", activation_bits=8)
    inputs, _ = samples_of("shared", 9)
    with torch.no_grad():
        assert torch.allclose(torch.compile(network)(inputs), network(inputs), atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "transposed", "shared"])
def test_the_state_of_a_quantized_network_goes_round(name: str) -> None:
    network = quantized(name, activation_bits=8)
    inputs, _ = samples_of(name, 9)
    wanted = network(inputs)
    other = copy.deepcopy(network)
    state = copy.deepcopy(network.state_dict())
    for tensor in other.state_dict().values():
        tensor.zero_()
    assert not torch.equal(other(inputs), wanted)
    other.load_state_dict(state)
    assert torch.equal(other(inputs), wanted)
    assert pack(other) == pack(network)


def test_a_float_network_is_not_quantized(mlp: nn.Module) -> None:
    with pytest.raises(NetworkError, match=r"no layer of this Mlp is quantized.*rlquant\.quantize"):
        pack(mlp)
    with pytest.raises(NetworkError, match="no layer of this Mlp is quantized"):
        rlquant.dequantize(mlp)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_foreign_parametrizations_are_refused() -> None:
    foreign = parametrizations.weight_norm(fresh(lambda: nn.Linear(3, 3)))
    with pytest.raises(NetworkError, match=r"layer '' carries.*_WeightNorm"):
        pack(foreign)
    both = quantized("mlp")
    parametrize.register_parametrization(both.first, "weight", Doubled())
    with pytest.raises(NetworkError, match=r"layer 'first' carries.*Doubled"):
        pack(both)


def test_a_float_network_without_gradients_is_not_quantized(mlp: nn.Module) -> None:
    with pytest.raises(NetworkError, match="no layer of this Mlp is quantized"):
        pack(copy.deepcopy(mlp).requires_grad_(False))


@pytest.mark.parametrize("activation_bits", [None, 4])
def test_a_frozen_network_is_not_saved(activation_bits: int | None) -> None:
    frozen = rlquant.dequantize(quantized("mlp", activation_bits=activation_bits))
    with pytest.raises(NetworkError, match=r"no layer of this Mlp .*a frozen network is not saved"):
        pack(frozen)


def test_copies_of_a_network_whose_layers_are_all_kept_are_saved(mlp: nn.Module) -> None:
    kept = QuantizationConfig((LayerChoice("first", 32, method="float"),))
    network = rlquant.quantize(mlp, kept)
    assert pack(pickle.loads(pickle.dumps(copy.deepcopy(network)))) == pack(network)
    assert pack(unpack(pack(network), mlp)) == pack(network)


def test_an_input_quantizer_without_a_quantized_weight_is_not_saved() -> None:
    network = quantized("mlp")
    install_activation(network.last, ActivationQuantizer(4))
    with pytest.raises(NetworkError, match=r"'last\.input_quantizer' quantizes the inputs"):
        pack(network)


def with_choice(choice: LayerChoice, bits: int) -> nn.Module:
    """A network whose first layer has `bits` bits and carries another choice."""
    network = fresh(NETWORKS["mlp"].build)
    tensor = quantize_weight(network.first.weight.detach(), LayerChoice("first", bits))
    install_weight(network, site_of(network, "first"), choice, tensor)
    return network


@pytest.mark.parametrize(
    "choice",
    [
        LayerChoice("first", 4),
        LayerChoice("first", 3, method="ternary"),
        LayerChoice("first", 3, points="affine"),
        LayerChoice("first", 3, points="fixed_point"),
        LayerChoice("first", 3, group_size="tensor"),
        LayerChoice("first", 3, group_size=6),
        LayerChoice("first", 3, activation_bits=4),
    ],
)
def test_a_layer_that_is_not_as_chosen_is_refused(choice: LayerChoice) -> None:
    with pytest.raises(NetworkError, match=r"tensor 'first\.weight' is not quantized as its"):
        pack(with_choice(choice, 3))


def test_an_input_quantizer_that_was_not_chosen_is_refused() -> None:
    network = with_choice(LayerChoice("first", 3), 3)
    install_activation(network.first, ActivationQuantizer(4))
    with pytest.raises(NetworkError, match="activation_bits=4"):
        pack(network)


def test_scales_of_a_type_that_the_file_cannot_hold_are_refused() -> None:
    with pytest.raises(
        NetworkError, match=r"'first\.weight'.*torch\.float64.*before it is quantized"
    ):
        pack(quantized("mlp").double())


class Stateful(nn.Linear):
    def get_extra_state(self) -> object:
        return {"anything": 1}

    def set_extra_state(self, state: object) -> None:
        pass


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (torch.empty(3, device="meta"), "is a meta tensor"),
        (torch.eye(3).to_sparse(), "sparse_coo tensor"),
        (torch.zeros(3, dtype=torch.uint16), "is of type torch.uint16"),
    ],
)
def test_tensors_that_the_file_cannot_hold_are_refused(buffer: Tensor, message: str) -> None:
    network = quantized("mlp")
    network.register_buffer("odd", buffer)
    with pytest.raises(NetworkError, match=f"'odd' .*{message}"):
        pack(network)


def test_state_that_is_no_tensor_is_refused() -> None:
    network = rlquant.quantize(Stateful(3, 3), QuantizationConfig((LayerChoice("", 3),)))
    with pytest.raises(NetworkError, match="'_extra_state' is of type dict"):
        pack(network)


def test_only_plain_networks_are_loaded_into(packed_mlp: bytes, quantized_mlp: nn.Module) -> None:
    with pytest.raises(NetworkError, match=r"is parametrized or quantized; give a plain float one"):
        unpack(packed_mlp, quantized_mlp)
