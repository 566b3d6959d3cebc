"""What makes no problem: each mistake gets one clear error, before any work is done."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from problems import bits, problem
from rlquant.config import HESSIAN_BASED, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.errors import (
    BudgetError,
    ChoiceError,
    DataError,
    NetworkError,
    SettingsError,
    UnknownNameError,
)
from rlquant.space import SearchSpace
from small_networks import (
    CLASSES,
    FEATURES,
    NETWORKS,
    Mlp,
    WordNet,
    fresh,
    samples,
    trained,
)


@pytest.mark.parametrize("fidelity", ["best", "Tuned"])
def test_a_fidelity_that_is_not_there_is_refused(fidelity: str) -> None:
    with pytest.raises(SettingsError, match=rf"fidelity='{fidelity}' is not one of \('calibrated"):
        problem(fidelity=fidelity)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_an_impossible_batch_size_is_refused(batch_size: Any) -> None:
    with pytest.raises(SettingsError, match=r"batch_size=.*, use a whole number of at least 1"):
        problem(batch_size=batch_size)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "one"])
def test_an_impossible_seed_is_refused(seed: Any) -> None:
    with pytest.raises(SettingsError, match=r"seed=.*, use a whole number from 0 to"):
        problem(seed=seed)


def test_numbers_may_come_from_numpy() -> None:
    made = problem(seed=np.int64(3), batch_size=np.int64(16), calibration_samples=np.int64(40))
    assert made.fingerprint == problem(seed=3).fingerprint


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"budget": 3.0}, r"budget=3.0 is no Budget; make one, e.g. Budget.average_bits\(3.0\)"),
        ({"budget": None}, "budget=None is no Budget"),
        ({"space": {"bits": (2, 4)}}, r"space=\{'bits': \(2, 4\)\} is no SearchSpace"),
        ({"store": 3}, "store=3: give a path as text or pathlib.Path"),
        ({"device": "gpu"}, "device='gpu' cannot be used here: Expected one of cpu, cuda"),
        ({"device": 2.5}, "device=2.5 cannot be used here"),
        ({"device": "meta"}, "device='meta' computes nothing; give one with data"),
        ({"objective": "loss"}, "objective='loss', give a function"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(other: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        problem(**other)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="device='cuda' cannot be used here"):
        problem(device="cuda")


def test_another_budget_must_be_a_budget() -> None:
    with pytest.raises(SettingsError, match="budget=3 is no Budget"):
        problem().with_budget(3)  # type: ignore[arg-type]


def test_an_unknown_range_method_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown activation range 'max'"):
        problem(activation_range="max")


@pytest.mark.parametrize("make", [Budget.average_bits, Budget.size_ratio, Budget.bops])
def test_a_budget_below_the_smallest_reachable_is_refused(make: Any) -> None:
    with pytest.raises(BudgetError, match=r"cannot be kept: the smallest reachable is \d"):
        problem(budget=make(1e-3))
    with pytest.raises(BudgetError, match=r"cannot be kept: the smallest reachable is \d"):
        problem().with_budget(make(1e-3))


def test_the_same_data_for_training_and_validation_are_refused() -> None:
    data = samples(60)
    with pytest.raises(DataError, match="validation_data is train_data; give separate data"):
        problem(train_data=data, validation_data=data)
    copied = (data[0].clone(), data[1].clone())
    with pytest.raises(DataError, match="40 of 40 samples are in train_data and in validation_da"):
        problem(train_data=data, validation_data=copied)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"train_data": []}, "train_data is empty"),
        ({"validation_data": []}, "validation_data is empty"),
        ({"train_data": iter([samples(50)])}, r"train_data is an iterator \(list_iterator\)"),
        ({"validation_data": (samples(9) for _ in "ab")}, r"validation_data is an iterator"),
        (
            {"validation_data": (torch.ones(9, FEATURES), torch.full((9,), CLASSES))},
            "labels reach from 3 to 3, the network has 3 outputs",
        ),
        ({"validation_data": samples(9, (4, FEATURES))}, r"needs outputs \(batch, classes\)"),
    ],
)
def test_data_that_cannot_be_used_are_refused(other: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        problem(**other)


def test_a_float_network_without_a_finite_loss_is_refused() -> None:
    words = "the float network's loss on validation_data is not finite; is it trained?"
    inputs, targets = samples(50, seed=2)
    inputs[7] = float("inf")
    cause = r"1 of the 50 samples have infinite inputs \(number 7, from 0\); mend them or leave"
    with pytest.raises(NetworkError, match=f"{words.replace('?', '.')} {cause}"):
        problem(validation_data=(inputs, targets))
    broken = fresh(NETWORKS["conv"].build)
    broken.get_buffer("stem_norm.running_mean")[0] = float("nan")
    with pytest.raises(NetworkError, match=words):
        problem("conv", broken)


@pytest.mark.parametrize("name", ["train_data", "validation_data"])
def test_data_with_nan_are_refused(name: str) -> None:
    inputs, targets = samples(50, seed=2)
    inputs[0] = float("nan")
    with pytest.raises(DataError, match=f"{name}: some of its inputs are NaN"):
        problem(network=fresh(Mlp), **{name: (inputs, targets)})  # type: ignore[arg-type]


def test_networks_that_cannot_be_searched_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"'last.weight' has no data \(meta device\); load the"):
        problem(network=fresh(Mlp).to("meta"))
    with pytest.raises(NetworkError, match=r"'last.weight' is lazy and has no shape yet; run"):
        problem(network=nn.Sequential(OrderedDict(last=nn.LazyLinear(CLASSES))))
    with pytest.raises(NetworkError, match=r"network is 3; give a trained torch.nn.Module"):
        problem(network=3)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="network is a ScriptModule, whose layers cannot be"):
        problem(network=torch.jit.ScriptModule())
    with pytest.raises(NetworkError, match="no quantizable layer: Flatten runs no Linear"):
        problem(network=nn.Flatten())
    quantized = problem().build(bits(4, 4, 4))
    with pytest.raises(NetworkError, match="layer 'last': its weight is already parametrized"):
        problem(network=quantized)


def test_an_unknown_layer_in_keep_is_refused() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown layer in exclude 'lats'; did you mean 'last'"
    ):
        problem(space=SearchSpace(exclude=("lats",)))


def test_an_embedding_is_not_searched_with_activation_bits() -> None:
    space = SearchSpace(activation_bits=(None, 8))
    with pytest.raises(ChoiceError, match="layer 'words' is an embedding, whose inputs are no act"):
        problem("words", space=space)
    kept = SearchSpace(activation_bits=(None, 8), exclude=("words",))
    assert [f.name for f in problem("words", fresh(WordNet), space=kept).layers] == ["classifier"]


@pytest.mark.parametrize("rounding", sorted(HESSIAN_BASED))
def test_a_layer_without_moments_is_not_searched_with_it(rounding: Any) -> None:
    space = SearchSpace(rounding=("nearest", rounding))
    words = f"layer 'words': rounding='{rounding}' is for linear layers and convolutions of up"
    with pytest.raises(ChoiceError, match=words):
        problem("words", space=space)
    kept = SearchSpace(rounding=("nearest", rounding), exclude=("words",))
    assert [f.name for f in problem("words", fresh(WordNet), space=kept).layers] == ["classifier"]


@pytest.mark.parametrize("fidelity", ["calibrated", "tuned"])
@pytest.mark.parametrize("rounding", sorted(HESSIAN_BASED))
def test_it_is_searched_like_any_other_rounding(rounding: Any, fidelity: Any) -> None:
    space = SearchSpace(bits=(2, 3), rounding=("nearest", rounding))
    made = problem("conv", trained("conv"), space=space, fidelity=fidelity)
    plain, fed = (
        QuantizationConfig(
            tuple(LayerChoice(f.name, 2, r, points="clipped") for f in made.layers)  # type: ignore[arg-type]
        )
        for r in space.rounding
    )
    scores = [made.evaluate(config) for config in (plain, fed)]
    assert scores[0].size_bytes == scores[1].size_bytes
    assert scores[1].loss != scores[0].loss
    assert made.build(fed) is not None


@pytest.mark.parametrize(
    ("name", "shape"), [("train_data", (FEATURES + 1,)), ("validation_data", (FEATURES - 1,))]
)
def test_inputs_that_the_network_does_not_run_on_are_refused(
    name: str, shape: tuple[int, ...]
) -> None:
    words = rf"{name}: the network does not run on its first samples, .*, {shape[0]}\): RuntimeErr"
    with pytest.raises(DataError, match=words):
        problem(network=fresh(Mlp), **{name: samples(40, shape, seed=3)})  # type: ignore[arg-type]


class Refusing(nn.Module):
    """Says itself what is wrong."""

    def forward(self, inputs: Tensor) -> Tensor:
        raise NetworkError("not like this")


def test_an_error_that_says_all_is_left_as_it_is() -> None:
    with pytest.raises(NetworkError, match="not like this"):
        problem(network=Refusing())
