"""Names of modules and tensors are data: any name works, and nothing out of a name is executed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import rlquant
from rlquant import Budget, EvaluationSettings, LayerChoice, QuantizationConfig, QuantizationProblem
from rlquant.errors import NetworkError
from rlquant.evaluation.cuts import cut
from rlquant.evaluation.segments import CannotCut
from rlquant.layers import find_layers
from rlquant.samples import Samples

EXECUTED = Path("executed")
CODE = (
    's"), open("executed", "w"), getattr(self, "s',
    'x")\nopen("executed", "w")\ndef f(self): ((("',
    "0; open('executed', 'w')",
)
WORDS = ("in", "class", "None", "self", "print", "torch", "part_0", "value_0", "input")
ATTRIBUTES = ("graph", "code", "meta", "recompile", "_graph", "print_readable", "weight", "device")
SIGNS = (
    'a"b',
    "a\\b",
    "a'b",
    "a\nb",
    " ",
    "\t",
    "\0",
    "{0}",
    "%s",
    "1st",
    "-",
    "/",
    "名前",
    "[/x]",
)
NAMES = CODE + WORDS + ATTRIBUTES + SIGNS
SOME = (*CODE, "in", "self", "graph", 'a"b', "\0")
"""Where each name takes long."""


class Named(nn.Module):
    """Has modules, a parameter and buffers of one name, and looks all of them up by it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.name = name
        inner = nn.Sequential(OrderedDict([(name, nn.Linear(6, 6)), ("r", nn.ReLU())]))
        inner.register_parameter(f"{name}+", nn.Parameter(torch.full((6,), 1.5)))
        self.parts = nn.ModuleDict({name: inner, "last": nn.Linear(6, 3)})
        self.register_buffer(name, torch.full((6,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.parts[self.name]
        hidden = inner(x * getattr(self, self.name)) * getattr(inner, f"{self.name}+")
        output: Tensor = self.parts["last"](hidden)
        return output


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 6, generator=draw),
        torch.randint(0, 3, (count,), generator=draw),
    )


def configured(network: nn.Module) -> QuantizationConfig:
    layers = find_layers(network, data(2, 0)[0])
    return QuantizationConfig(tuple(LayerChoice(f.name, 4, activation_bits=8) for f in layers))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_cut_and_measured_whatever_its_names(name: str) -> None:
    inputs, labels = data(60, 1)
    problem = QuantizationProblem(
        Named(name),
        data(40, 0),
        (inputs, labels),
        budget=Budget.average_bits(9),
        evaluation=EvaluationSettings(calibration_samples=40),
    )
    config = configured(problem.network)
    score = problem.evaluate(config)
    assert len(problem.evaluator.incremental.stages) == 3  # it was cut before both layers
    outputs = problem.build(config)(inputs)
    assert score.loss == pytest.approx(
        float(nn.functional.cross_entropy(outputs, labels)), rel=1e-5
    )
    assert not EXECUTED.exists()


@pytest.mark.parametrize("name", SOME)
def test_a_packed_file_is_read_back_whatever_the_names(name: str) -> None:
    network = Named(name)
    quantized = rlquant.quantize(network, configured(network), data(40, 0), calibration_samples=40)
    rlquant.save(quantized, "model.rlq")
    loaded = rlquant.load("model.rlq", Named(name))
    assert torch.equal(loaded(data(9, 2)[0]), quantized(data(9, 2)[0]))
    assert not EXECUTED.exists()


def test_an_onnx_file_is_written_whatever_the_names() -> None:
    torch.manual_seed(0)
    layers = [(name, nn.Linear(6, 6)) for name in SOME]
    network = nn.Sequential(OrderedDict([*layers, ("last", nn.Linear(6, 3))]))
    config = QuantizationConfig(tuple(LayerChoice(name, 8) for name in SOME))
    quantized = rlquant.quantize(network, config)
    written = rlquant.export_onnx(quantized, data(4, 0)[0], "model.onnx")
    assert not EXECUTED.exists()
    assert written.error is not None
    assert written.error < 1e-5
    assert set(written.layers) == set(SOME)
    inside = onnx.load("model.onnx").graph
    assert {f"{name}.bias" for name in SOME} <= {tensor.name for tensor in inside.initializer}
    assert [value.name for value in inside.input] == ["input"]


class Summing(nn.Linear):
    """Adds whatever it is given by name."""

    def forward(self, x: Tensor, **more: Tensor) -> Tensor:
        return super().forward(x) + sum(more.values())


class Keywords(nn.Module):
    """Passes arguments whose names are no Python names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 3), Summing(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.second(x, **{CODE[0]: self.first(x)})
        return output


def test_arguments_with_names_that_are_no_python_names_are_not_cut() -> None:
    inputs, labels = data(8, 0)
    with pytest.raises(CannotCut, match="passes an argument named"):
        cut(Keywords().eval(), ["first", "second"], (), [Samples((inputs,), labels)])
    assert not EXECUTED.exists()


def test_a_name_that_cannot_be_written_is_refused() -> None:
    network = nn.Sequential(OrderedDict([("\ud800", nn.Linear(6, 3))]))
    with pytest.raises(NetworkError, match="no valid Unicode text"):
        find_layers(network, data(2, 0)[0])
