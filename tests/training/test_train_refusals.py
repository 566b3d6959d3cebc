"""What `rlquant.train` refuses: each mistake gets one clear error, before the first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rlquant
from rlquant import EvaluationSettings
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import (
    ChoiceError,
    DataError,
    NetworkError,
    QuantizationError,
    RlquantError,
    SettingsError,
    UnknownNameError,
)
from rlquant.training.settings import FixedPoint, TrainSettings
from small_networks import CLASSES, FEATURES, NETWORKS, Mlp, TiedNet, fresh, samples, samples_of
from training_runs import SHORT, each, float_network, train

GOOD = samples_of("mlp", 64, seed=1)


def refused(error: type[RlquantError], words: str, name: str = "mlp", **other: Any) -> None:
    """Training raises before a step is taken, for a watcher would stop and say so."""

    def never(step: int, figures: object) -> bool:
        raise AssertionError("a step was taken")

    settings = other.pop("settings", replace(SHORT, steps=1))
    with pytest.raises(error, match=words):
        train(name, other.pop("config", None), settings=settings, watch=never, **other)


def with_label(label: int, place: int) -> tuple[Tensor, Tensor]:
    targets = GOOD[1].clone()
    targets[place] = label
    return GOOD[0], targets


class TestData:
    @pytest.mark.parametrize("place", [0, 30, 63])
    @pytest.mark.parametrize("label", [-1, CLASSES, 200])
    def test_labels_out_of_range_wherever_they_are(self, label: int, place: int) -> None:
        words = rf"labels reach from .*{label}.*, the network has 3 outputs \(labels 0\.\.2\)"
        refused(DataError, words, train_data=with_label(label, place))

    def test_labels_out_of_range_in_the_first_batch_of_a_loader(self) -> None:
        loader = DataLoader(TensorDataset(*with_label(7, 3)), batch_size=8)
        refused(DataError, "labels reach from 0 to 7", train_data=loader)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ([], "train_data is empty: it gave no sample"),
            (DataLoader(TensorDataset(*samples(3)), batch_size=4, drop_last=True), "is empty"),
            ((torch.ones(0, FEATURES), torch.ones(0)), "train_data is empty"),
            (iter([GOOD]), r"train_data is an iterator \(list_iterator\) that can be read only"),
            ((GOOD for _ in "ab"), r"train_data is an iterator \(generator\)"),
            (None, "train_data is a NoneType; give a pair"),
            ([torch.ones(3, FEATURES)], "a batch is a Tensor, it must be a pair"),
            ((GOOD[0] * torch.nan, GOOD[1]), "train_data: some of its inputs are NaN"),
            ((GOOD[0], GOOD[1][:9]), "differ in length"),
            ((GOOD[0], GOOD[1].float()), "classification needs integer labels"),
        ],
    )
    def test_data_that_cannot_be_trained_on(self, data: Any, words: str) -> None:
        refused(DataError, words, train_data=data)

    def test_validation_data_that_cannot_be_measured(self) -> None:
        refused(DataError, "validation_data is empty", validation_data=[])
        broken = (GOOD[0] * torch.nan, GOOD[1])
        refused(DataError, "validation_data: some of its inputs", validation_data=broken)

    def test_batches_of_one_before_a_batch_norm(self) -> None:
        words = r"batch_size=1 with 64 samples gives batches of one, of which BatchNorm takes no"
        one = replace(SHORT, batch_size=1)
        refused(SettingsError, words, "conv", settings=one, train_data=samples_of("conv", 64))
        single = samples_of("conv", 1)
        refused(SettingsError, "batch_size=16 with 1 samples gives", "conv", train_data=single)
        _, outcome = train("mlp", settings=replace(one, steps=3))
        assert outcome.steps == 3  # without one it does not matter


class Boxes(nn.Module):
    """Outputs of which none is the class scores, as a detector's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 4)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        found = self.first(inputs)
        return {"boxes": found, "scores": found[:, :1]}


def boxed(outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    return outputs["boxes"].square().sum(), torch.zeros(())


class TestTeachers:
    def test_one_of_other_classes(self) -> None:
        teacher = nn.Sequential(nn.Linear(FEATURES, CLASSES + 1))
        words = r"teacher: the teacher gives outputs of shape \(2, 4\), the network \(2, 3\)"
        refused(DataError, words, teacher=teacher)

    def test_one_that_is_no_network(self) -> None:
        refused(NetworkError, "network is 3; give a trained", teacher=3)
        refused(NetworkError, "ScriptModule", teacher=torch.jit.ScriptModule())
        refused(NetworkError, "is lazy", teacher=nn.Sequential(nn.LazyLinear(3)))

    def test_outputs_that_nothing_can_be_distilled_from(self) -> None:
        words = "teacher needs a tensor of outputs, the network gives a dict"
        config = QuantizationConfig((LayerChoice("first", 4, method="distilled"),))
        refused(DataError, words, network=fresh(Boxes), config=config, objective=boxed)
        other = QuantizationConfig((LayerChoice("first", 4, method="ternary"),))
        _, outcome = train("mlp", other, network=fresh(Boxes), objective=boxed)
        assert outcome.finite

    def test_where_nothing_is_distilled_no_teacher_is_looked_at(self) -> None:
        teacher = nn.Sequential(nn.Linear(FEATURES, CLASSES + 1))
        _, outcome = train("mlp", each("mlp", method="ternary"), teacher=teacher)
        assert not outcome.diverged


class TestConfigurations:
    def test_a_layer_that_is_not_there(self) -> None:
        config = QuantizationConfig((LayerChoice("frist", 4),))
        refused(UnknownNameError, "unknown layer 'frist'; did you mean 'first'", config=config)

    def test_a_layer_that_never_runs(self) -> None:
        network = fresh(Mlp)
        network.spare = nn.Linear(2, 2)
        config = QuantizationConfig((LayerChoice("spare", 4),))
        refused(NetworkError, "no quantizable layer", network=network, config=config)
        both = QuantizationConfig((LayerChoice("spare", 4), LayerChoice("first", 4)))
        words = r"a forward pass never calls the modules of layers \['spare'\]; leave them out"
        refused(ChoiceError, words, network=network, config=both)

    def test_a_rounding_by_the_outputs_of_an_embedding(self) -> None:
        config = QuantizationConfig((LayerChoice("words", 4, "learned"),))
        network = fresh(NETWORKS["words"].build)
        words = r"layer 'words': rounding='learned' .* there are no moments"
        refused(QuantizationError, words, "words", network=network, config=config)

    def test_activation_bits_of_an_embedding(self) -> None:
        config = QuantizationConfig((LayerChoice("words", 4, activation_bits=8),))
        network = fresh(NETWORKS["words"].build)
        words = "layer 'words': activation_bits=8, but an embedding"
        refused(ChoiceError, words, "words", network=network, config=config)

    def test_fixed_point_and_quantized_layers(self) -> None:
        settings = replace(SHORT, optimizer="sgd", arithmetic=FixedPoint(8, 8))
        words = r"arithmetic=FixedPoint\(\.\.\.\) trains all weights on one grid; give an empty"
        refused(SettingsError, words, settings=settings)
        kept = QuantizationConfig((LayerChoice("first", 32, method="float"),))
        for config in (kept, QuantizationConfig(())):
            _, outcome = train("mlp", config, settings=settings, validation_data=GOOD)
            assert outcome.validation is not None
            assert outcome.validation.samples == 64


class TestNetworks:
    def test_what_is_no_plain_float_network(self) -> None:
        refused(NetworkError, "network is 3; give a trained", network=3)
        quantized = rlquant.quantize(float_network("mlp"), each("mlp"))
        refused(NetworkError, "already parametrized or quantized", network=quantized)
        config = QuantizationConfig((LayerChoice("words", 4),))
        tied = fresh(TiedNet)
        refused(NetworkError, "its weight is tied", "words", network=tied, config=config)


class TestArguments:
    @pytest.mark.parametrize(
        ("argument", "value", "error", "words"),
        [
            ("settings", {}, SettingsError, r"settings=\{\} is no TrainSettings"),
            ("seed", -1, SettingsError, "seed=-1, use a whole number from 0 to"),
            ("seed", 0.5, SettingsError, r"seed=0\.5, use a whole number from 0 to"),
            ("evaluation", 64, SettingsError, "evaluation=64 is no EvaluationSettings; make one"),
            ("objective", 3, SettingsError, "objective=3, give a function"),
            (
                "evaluation",
                EvaluationSettings(device="nowhere"),
                SettingsError,
                "device='nowhere' cannot be used here",
            ),
        ],
    )
    def test_arguments_outside_what_is_allowed(
        self, argument: str, value: Any, error: type[RlquantError], words: str
    ) -> None:
        refused(error, words, **{argument: value})


def test_data_that_run_dry_are_said_to() -> None:
    class OnlyTwice:
        """Gives its batches while training is prepared, and then no more."""

        def __init__(self) -> None:
            self.left = 3

        def __iter__(self) -> Any:
            self.left -= 1
            return iter([GOOD] if self.left >= 0 else [])

    with pytest.raises(DataError, match=r"train_data gave no batch; can it be read only once\?"):
        train("mlp", train_data=OnlyTwice(), settings=TrainSettings(steps=3))
