"""`rlquant.train` with every setting, every kind of data, layer and objective."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import Tensor

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.settings import TrainSettings
from small_networks import NETWORKS, TwoInputsNet, fresh, samples, samples_of
from training_runs import LONG, SHORT, codes_of, each, outputs_of, same, train


@pytest.mark.parametrize(
    "settings",
    [
        replace(SHORT, optimizer="sgd", learning_rate=0.05),
        replace(SHORT, optimizer="sgd", momentum=0.0, schedule="steps", milestones=(0.5,)),
        replace(SHORT, weight_decay=0.1, schedule="constant"),
        replace(SHORT, ternary_sparsity=0.4),
        replace(SHORT, ternary_threshold=0.3, temperature=4.0, distillation_weight=1.0),
        TrainSettings(epochs=2, batch_size=24),
    ],
)
def test_every_setting_trains(settings: TrainSettings) -> None:
    trained, outcome = train("mlp", settings=settings)
    assert not outcome.diverged
    assert outcome.steps == (20 if settings.steps else 2 * (64 // 24))
    assert outputs_of(trained, "mlp").isfinite().all()
    assert not same(trained, train("mlp")[0])


def test_sparsity_and_threshold_decide_the_zeros() -> None:
    config = each("mlp", method="ternary")
    for settings, zeros in (
        (replace(SHORT, ternary_sparsity=0.75), 48),
        (replace(SHORT, ternary_threshold=1.0), 64),
    ):
        trained, _ = train("mlp", config, settings=settings)
        assert int((codes_of(trained, "second") == 1).sum()) == zeros


def test_augmented_images_train() -> None:
    settings = replace(SHORT, augmentation=CropAndFlip(1))
    trained, _ = train("conv", settings=settings)
    assert same(trained, train("conv", settings=settings)[0])
    assert not same(trained, train("conv")[0])


@pytest.mark.parametrize("name", ["words", "transposed", "shared"])
@pytest.mark.parametrize("warm", [False, True])
def test_every_kind_of_layer_trains(name: str, warm: bool) -> None:
    layers = {"words": "words", "transposed": "up", "shared": "twice"}
    for choice in (
        LayerChoice(layers[name], 3, method="distilled", points="learned"),
        LayerChoice(layers[name], 2, method="ternary"),
    ):
        config = QuantizationConfig((choice,))
        network = fresh(NETWORKS[name].build)
        trained, outcome = train(name, config, network=network, warm_start=warm)
        assert not outcome.diverged
        assert outputs_of(trained, name).isfinite().all()


def test_a_network_of_two_inputs_trains() -> None:
    (left, targets), (right, _) = samples(32, seed=1), samples(32, seed=2)
    config = QuantizationConfig((LayerChoice("left", 3, method="distilled"),))
    network, data = fresh(TwoInputsNet), ((left, right), targets)
    first, _ = rlquant.train(network, config, data, settings=SHORT)
    assert first(left, right).isfinite().all()


def test_a_loader_trains_as_its_batches_come() -> None:
    inputs, targets = samples_of("mlp", 64, seed=1)
    loader = list(zip(inputs.split(16), targets.split(16), strict=True))
    settings = replace(SHORT, steps=8)
    first = train("mlp", train_data=loader, settings=settings)[0]
    assert same(first, train("mlp", train_data=loader, settings=settings)[0])
    turned = train("mlp", train_data=loader[::-1], settings=settings)[0]
    assert not same(first, turned)


def test_validation_data_are_measured_and_decide_nothing() -> None:
    validation = samples_of("mlp", 50, seed=2)
    trained, outcome = train("mlp", validation_data=validation)
    assert outcome.validation == rlquant.measure(trained, validation)
    assert same(trained, train("mlp")[0])
    assert train("mlp")[1].validation is None


def test_objectives_of_the_users_own_are_minimised() -> None:
    def distance(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        error = (outputs[:, 0] - targets).square()
        return error.sum(), -error.sum()

    data = samples_of("mlp", 64, seed=1)
    config = each("mlp", 4, method="ternary")
    _, outcome = train("mlp", config, objective=distance, validation_data=data, settings=LONG)
    assert outcome.losses[-1] < outcome.losses[0]
    assert outcome.validation is not None
    assert outcome.validation.loss == -outcome.validation.accuracy


def test_a_warm_start_begins_nearer() -> None:
    settings = replace(SHORT, steps=1, learning_rate=0.0, scale_rate=0.0, bias_rate=0.0)
    config = each("conv", method="ternary")
    cold, warm = (
        train("conv", config, settings=settings, warm_start=start)[1].losses[0]
        for start in (False, True)
    )
    assert warm < cold
