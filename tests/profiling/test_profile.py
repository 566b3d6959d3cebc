"""The latency table of this machine: a real profile of a small network, read by a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rlquant import (
    Budget,
    EvaluationSettings,
    LatencyTable,
    QuantizationProblem,
    SearchSpace,
    find_layers,
)
from rlquant.errors import SettingsError
from rlquant.profiling import sessions
from rlquant.profiling.profile import LatencyProfile, profile_latency
from rlquant.profiling.variants import Variants
from small_networks import samples_of, trained


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def profile(told: list[tuple[str, int, int]]) -> LatencyProfile:
    data = samples_of("conv", 64)
    return profile_latency(
        trained("conv"),
        data,
        data[0],
        batch=3,
        rounds=5,
        samples=64,
        told=lambda *args: told.append(args),
    )


def test_every_distinct_layer_has_a_row_for_what_it_can_run(
    profile: LatencyProfile, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(profile.csv())
    table = LatencyTable.read(tmp_path / "table.csv")
    assert (table.batch, table.threads) == (3, 1)
    assert len(table.rows) == 5 * (9 + 8)  # 1..8 and 32 bits with float inputs, 1..8 with others
    problem = QuantizationProblem(
        trained("conv"),
        samples_of("conv", 64),
        samples_of("conv", 20, seed=1),
        budget=Budget.latency(1.0, table),
        space=SearchSpace(activation_bits=(None, 8)),
        evaluation=EvaluationSettings(calibration_samples=64),
    )
    feasible = problem.feasible
    costs = [feasible.cost.of_layer(problem.layers[0], option) for option in feasible.options]
    assert len(set(costs)) <= 2  # float and 8 bits, whatever the weights' width
    both = (profile.float_seconds, profile.integer_seconds)
    sums = [feasible.cost.value(units) for units in (feasible.smallest, feasible.largest)]
    assert 0.3 * min(both) < sums[0] <= sums[1] < 4 * max(both) * (1 + profile.margin)


def test_checks_are_networks_that_were_not_fitted(profile: LatencyProfile) -> None:
    assert profile.unseen
    assert len(profile.errors) == profile.checks >= 5
    assert len(profile.measured) == len(profile.predicted) > 3 * profile.checks / 2
    assert profile.mean_error == pytest.approx(np.abs(profile.errors).mean())
    short = [m / p - 1 for m, p in zip(profile.measured, profile.predicted, strict=True)]
    assert profile.margin == pytest.approx(max(0.0, *short))
    assert profile.integers_pay == (profile.integer_seconds < profile.float_seconds)


def test_the_margin_lengthens_all_times(profile: LatencyProfile) -> None:
    plain, longer = (profile.csv(margin=m).splitlines()[1:] for m in (0.0, 0.5))
    for one, other in zip(plain, longer, strict=True):
        assert float(other.split(",")[5]) == pytest.approx(1.5 * float(one.split(",")[5]), rel=1e-4)


def test_progress_is_told(profile: LatencyProfile, told: list[tuple[str, int, int]]) -> None:
    assert told[0][:2] == ("exported", 1)
    assert told[-1] == ("rounds timed", 5, 5)


def test_variants_run_the_named_layers_in_integers() -> None:
    network, data = trained("conv"), samples_of("conv", 64)
    layers = find_layers(network, data[0][:2])
    variants = Variants.of(network, layers, data, (data[0][:2],), 64)
    names = {facts.name for facts in layers}
    kinds = [
        [node.op_type for node in onnx.load_from_string(variants.file(some)).graph.node]
        for some in (frozenset(), frozenset(names), frozenset({"conv"}))
    ]
    assert "QuantizeLinear" not in kinds[0]
    assert "BatchNormalization" not in kinds[1]
    assert kinds[2].count("BatchNormalization") == 2  # of the stem and of the shortcut


def test_files_beyond_the_memory_are_timed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = trained("mlp"), samples_of("mlp", 64)
    variants = Variants.of(network, find_layers(network, data[0][:2]), data, (data[0][:2],), 64)
    files = [variants.file(some) for some in ({"first"}, set(), {"first", "second", "last"})]
    opened: list[int] = []
    real = sessions._runs

    def counted(files, *rest):
        opened.append(len(files))
        return real(files, *rest)

    monkeypatch.setattr(sessions, "_runs", counted)
    monkeypatch.setattr(sessions, "MEMORY", 2 * len(files[0]))
    told: list[tuple[int, int]] = []
    times = sessions.times_of_files(files, data[0:1], 2, 1, 3, lambda *args: told.append(args))
    assert opened == [2, 2]  # the first one beside each of the others
    assert times.shape == (3,)
    assert (times > 0).all()
    assert told == [(n, 6) for n in range(1, 7)]


def test_a_network_of_embeddings_alone_has_a_table(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Embedding(12, 3), nn.Flatten(1)).eval()
    words = torch.randint(0, 12, (64, 5))
    profile = profile_latency(network, (words, words[:, 0]), words, rounds=2, samples=64)
    (tmp_path / "t.csv").write_text(profile.csv())
    table = LatencyTable.read(tmp_path / "t.csv")
    assert all(seconds > 0 for seconds in table.rows.values())
    assert {key[4] for key in table.rows} == {None}


def test_a_network_too_small_for_unseen_mixes_and_layers_without_kernels() -> None:
    words = profile_latency(
        trained("words"), samples_of("words", 64), samples_of("words", 4)[0], rounds=2, samples=64
    )
    assert not words.unseen
    assert words.native == (False, True)
    rows = [line.split(",") for line in words.csv().splitlines()[1:]]
    assert {row[4] for row in rows if row[0] == "embedding"} == {""}


@pytest.mark.parametrize("wrong", ["batch", "threads", "rounds"])
def test_numbers_below_one_are_refused(wrong: str) -> None:
    network = nn.Sequential(nn.Linear(6, 3)).eval()
    data = (torch.rand(8, 6), torch.zeros(8, dtype=torch.long))
    with pytest.raises(SettingsError, match=f"{wrong}=0"):
        profile_latency(network, data, data[0], **{wrong: 0})
