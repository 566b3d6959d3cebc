"""What a network must be before it is quantized: wrappers and computed weights are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, remove_weight_norm, spectral_norm, weight_norm

import rlquant
from rlquant import Budget, EvaluationSettings, LayerChoice, QuantizationConfig, QuantizationProblem
from rlquant.errors import NetworkError
from small_networks import FEATURES, Mlp, fresh

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
]

CONFIG = QuantizationConfig((LayerChoice("first", 4),))
Use = Callable[[Any], object]


def data(samples: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(samples)
    return torch.randn(samples, FEATURES, generator=draw), torch.arange(samples) % 3


def problem(network: Any) -> QuantizationProblem:
    budget = Budget.average_bits(6)
    return QuantizationProblem(
        network,
        data(30),
        data(20),
        budget=budget,
        evaluation=EvaluationSettings(calibration_samples=20, batch_size=10),
    )


def packed() -> bytes:
    return rlquant.pack(rlquant.quantize(fresh(Mlp), CONFIG))


USES: dict[str, Use] = {
    "problem": problem,
    "quantize": lambda network: rlquant.quantize(network, CONFIG),
    "train": lambda network: rlquant.train(network, CONFIG, data(30)),
    "unpack": lambda network: rlquant.unpack(
        rlquant.pack(rlquant.quantize(Mlp(), CONFIG)), network
    ),
    "find_layers": lambda network: rlquant.find_layers(network, data(2)[0]),
}


def prune_third(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", 0.3)


class Wrapper(nn.Module):
    """Holds a network as `body`."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Tensor) -> Any:
        return self.body(inputs)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.compile(Mlp(), backend="eager"), "wrapped by torch.compile.*_orig_mod"),
        (
            lambda: Wrapper(torch.compile(Mlp(), backend="eager")),
            re.escape("set network.body = network.body._orig_mod"),
        ),
        (lambda: nn.DataParallel(Mlp()), "wrapped by data parallelism.*give network.module"),
        (lambda: Wrapper(torch.jit.script(nn.Linear(6, 3))), "network.body is a ScriptModule"),
        (lambda: torch.jit.script(nn.Linear(6, 3)), "network is a ScriptModule"),
        (lambda: Mlp().to("meta"), "has no data"),
        (lambda: nn.LazyLinear(3), "'weight' is lazy"),
        (lambda: "mlp", "network is 'mlp'; give a trained"),
        (lambda: None, "network is None; give"),
    ],
    ids=[
        "compiled",
        "compiled inside",
        "data parallel",
        "scripted inside",
        "scripted",
        "meta",
        "lazy",
        "text",
        "none",
    ],
)
def test_what_cannot_be_taken_apart_is_refused(
    make: Callable[[], Any], words: str, use: Use
) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        use(make())
    assert len(str(caught.value)) <= 500


def test_a_scripted_activation_is_no_obstacle() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 8), torch.jit.script(nn.ReLU()), nn.Linear(8, 3))
    assert [facts.name for facts in problem(network).layers] == ["0", "2"]


def test_a_network_compiled_in_place_is_searched_as_it_is() -> None:
    network = fresh(Mlp)
    network.compile(backend="eager")
    assert problem(network).float_score == problem(fresh(Mlp)).float_score


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (
            lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
            "prune.remove(layer, 'weight')",
        ),
        (weight_norm, "torch.nn.utils.remove_weight_norm(layer)"),
        (spectral_norm, "torch.nn.utils.remove_spectral_norm(layer)"),
    ],
    ids=["pruned", "weight_norm", "spectral_norm"],
)
@pytest.mark.parametrize("use", [USES[name] for name in ("problem", "quantize", "train")])
def test_a_weight_that_a_hook_computes_is_refused_with_the_remedy(
    change: Use, remedy: str, use: Use
) -> None:
    network = fresh(Mlp)
    change(network.first)
    with pytest.raises(NetworkError, match=re.escape(remedy)) as caught:
        use(network)
    assert "layer 'first'" in str(caught.value)


def test_with_the_remedy_a_weight_normed_network_is_searched() -> None:
    network = fresh(Mlp)
    remove_weight_norm(weight_norm(network.first))
    assert len(problem(network).layers) == 3
