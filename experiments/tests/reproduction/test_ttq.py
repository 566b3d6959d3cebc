"""The experiments on trained ternary weights: what is run, and what is concluded of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import rlquant
from rlquant.errors import SettingsError
from rlquant.layers import find_layers
from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.reproduction import Preset, Scale
from rlquant_experiments.reproduction.runs import Results, Run
from rlquant_experiments.reproduction.ttq import float_start as float_start_module
from rlquant_experiments.reproduction.ttq.depth_findings import slopes
from rlquant_experiments.reproduction.ttq.experiments import conclude, ttq
from rlquant_experiments.reproduction.ttq.float_start import float_start
from rlquant_experiments.reproduction.ttq.jobs import DEEP_RATES, RATE_SEED, RATES, SIZES
from rlquant_experiments.reproduction.ttq.measured_run import (
    Training,
    asymmetry,
    measured_run,
    ternary,
    trained_network,
    validated_run,
)
from rlquant_experiments.reproduction.ttq.packed_sizes import packed_sizes
from rlquant_experiments.reproduction.ttq.panels import draw
from rlquant_experiments.reproduction.ttq.presets import FIRST_LAYER, PAPER, PRESETS, QUICK, TINY
from rlquant_experiments.reproduction.ttq.variants import (
    BINARY,
    CLOSED_FORM,
    FLOAT,
    SPARSITIES,
    TIED,
    TTQ,
    TWN,
    VARIANTS,
    sparse,
)

JOBS = ttq(Scale()).jobs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLQUANT_CACHE", str(tmp_path))


def training(name: str, blocks: int = 1) -> Training:
    return Training(preset=TINY, blocks=blocks, variant=VARIANTS[name], rate=0.01, device="cpu")


# --- what is run


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_its_runs_apart(preset: Preset) -> None:
    jobs = ttq(Scale(preset, seeds=4)).jobs
    assert len({job.name for job in jobs}) == len({job.key for job in jobs}) == len(jobs)
    compared = [job for job in jobs if job.experiment.startswith("resnet")]
    assert {job.seed for job in compared} == {0, 1, 2, 3}
    assert all(job.steps >= 1 for job in jobs)


def test_rates_are_chosen_with_a_seed_that_is_not_compared() -> None:
    tried = (RATES, DEEP_RATES)
    assert {job.seed for job in JOBS if job.experiment in tried} == {RATE_SEED}
    assert RATE_SEED not in {job.seed for job in JOBS if job.experiment not in tried}
    assert {job.seed for job in JOBS if job.experiment.startswith("resnet")} >= {0, 1, 2}


def test_the_papers_preset_has_its_networks_and_settings() -> None:
    assert [PAPER.experiment(blocks) for blocks in PAPER.blocks] == [
        *("resnet20", "resnet32", "resnet44", "resnet56")
    ]
    settings = Training(
        preset=PAPER, blocks=3, variant=VARIANTS[TTQ], rate=0.1, device="cpu"
    ).settings
    assert (settings.optimizer, settings.momentum, settings.batch_size) == ("sgd", 0.9, 128)
    assert (settings.learning_rate, settings.scale_rate, settings.bias_rate) == (0.1, 0.1, 0.1)
    assert (settings.weight_decay, settings.ternary_threshold) == (2e-4, 0.05)
    assert settings.augmentation is not None
    network = PAPER.build(9, (3, 32, 32), 10, 0)
    assert (
        sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in network.modules()) == 55
    )
    jobs = ttq(Scale("paper")).jobs
    assert {job.experiment for job in jobs} - {SIZES} == {PAPER.experiment(b) for b in PAPER.blocks}


def test_first_weights_depend_on_the_seed_alone() -> None:
    one, two, other = (QUICK.build(1, (1, 14, 14), 10, seed).conv.weight for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_preset_refuses_a_rate_that_was_not_tried() -> None:
    with pytest.raises(SettingsError, match="one of the rates"):
        replace(TINY, chosen=dict.fromkeys(TINY.chosen, 0.5))
    with pytest.raises(SettingsError, match="two ascending"):
        replace(TINY, blocks=(2, 1))


def test_all_layers_are_ternary_but_the_first_and_the_classifier_is_one_of_them() -> None:
    network = QUICK.build(2, (1, 14, 14), 10, 0).eval()
    layers = find_layers(network, torch.zeros(2, 1, 14, 14))
    assert layers[0].name == FIRST_LAYER == "conv"
    config = ternary(layers)
    assert {c.layer for c in config} == {f.name for f in layers} - {FIRST_LAYER}
    assert "classifier" in {c.layer for c in config}
    assert {c.method for c in config} == {"ternary"}


# --- one run


def test_the_float_start_is_trained_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = float_start(TINY, 1, 0, "cpu")
    monkeypatch.setattr(float_start_module, "train_float", None)
    again = float_start(TINY, 1, 0, "cpu")
    assert not again.training
    for one, two in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_a_ternary_run_is_measured_with_quantized_weights() -> None:
    told: list[int] = []
    figures = measured_run(training(sparse(0.3)), 0, told.append)
    assert sum(told) == TINY.images // TINY.tuning.batch_size
    assert figures["zeros"] == pytest.approx(0.3, abs=0.02)
    assert 0 <= figures["test_error"] <= 100  # type: ignore[operator]
    assert figures["ternary_ratio"] > 16  # type: ignore[operator]
    assert "start_error" not in figures


def test_the_control_trains_every_weight_and_quantizes_none() -> None:
    start, trained, _ = trained_network(training(FLOAT), 0, lambda _: None)
    before, after = start.state_dict(), trained.state_dict()
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[n], after[n]) for n in before if n.endswith("weight"))
    assert set(measured_run(training(FLOAT), 0, lambda _: None)) == {
        *("test_error", "validation_error", "start_error", "train_losses", "diverged")
    }


def test_the_first_convolution_of_a_ternary_network_trains_in_float() -> None:
    start, trained, _ = trained_network(training(TTQ), 0, lambda _: None)
    assert not torch.equal(start.conv.weight, trained.conv.weight)
    assert len(trained.conv.weight.unique()) > 3
    assert len(trained.classifier.weight.unique()) <= 3


@pytest.mark.parametrize(("name", "most"), [(BINARY, 2), (TWN, 3), (TIED, 3), (CLOSED_FORM, 3)])
def test_each_variant_trains_the_values_that_it_is_named_for(name: str, most: int) -> None:
    _, trained, _ = trained_network(training(name), 0, lambda _: None)
    values = trained.classifier.weight.unique()
    assert len(values) == most
    assert values[0] == -values[-1]


def test_trained_scales_of_both_signs_differ() -> None:
    _, trained, _ = trained_network(training(TTQ), 0, lambda _: None)
    assert asymmetry(trained) > 0
    _, tied, _ = trained_network(training(TIED), 0, lambda _: None)
    assert asymmetry(tied) == 0


def test_rates_are_tried_without_a_look_at_the_test_set() -> None:
    figures = validated_run(training(TTQ), RATE_SEED, lambda _: None)
    assert set(figures) == {"validation_error", "diverged"}


def test_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(10, 100, bias=False), nn.Linear(100, 10)).eval()
    choice = rlquant.LayerChoice("0", 2, method="ternary")
    quantized = rlquant.quantize(network, rlquant.QuantizationConfig((choice,)))
    sizes = packed_sizes(quantized, network)
    assert sizes["file_bytes"] == rlquant.save(quantized, tmp_path / "saved.rlq")
    assert sizes["ternary_bytes"] == 1000 / 5 + 2 * 2  # five codes a byte, two float16 scales
    assert sizes["ternary_ratio"] == 4000 / 204
    assert sizes["float_bytes"] == 4 * (1000 + 1000 + 10)
    assert sizes["file_ratio"] == sizes["float_bytes"] / sizes["file_bytes"]


# --- conclusions


def results_of(error: Callable[[str, str, int], float]) -> Results:
    """Every run of the quick preset, with invented numbers."""
    runs = []
    for job in JOBS:
        figures = {
            "test_error": error(job.experiment, job.variant, job.seed),
            "validation_error": error(job.experiment, job.variant, job.seed),
            "start_error": 14.0,
            "train_losses": [0.3, 0.2],
            "zeros": 0.2,
            "asymmetry": 0.1,
            "ternary_ratio": 19.5,
            "file_ratio": 12.0,
            **dict.fromkeys(("ternary_bytes", "file_bytes"), 1000.0),
            **dict.fromkeys(("ternary_float_bytes", "float_bytes"), 19_500.0),
        }
        runs.append(Run(job.experiment, job.variant, job.seed, figures, 1.0))
    return Results(runs)


LEVELS = {FLOAT: 12.0, TTQ: 12.5, "one trained scale": 12.6, "TWN": 13.0, "binary": 14.0}


def as_the_paper(experiment: str, variant: str, seed: int) -> float:
    level = 0.1 * seed + 0.01 * (seed % 2)
    for share, extra in zip(SPARSITIES, (1.5, 0.8, 0.3, 0.4, 1.0, 3.0), strict=True):
        if variant == sparse(share):
            return 12.0 + level + extra
    deeper = {"resnet14": 0.3, "resnet20": 0.6}.get(experiment, 0.0)
    return LEVELS.get(variant, 12.7) + level - (deeper if variant == TTQ else 0.0)


def verdicts(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.claim.id: finding.verdict for finding in findings}


def test_numbers_like_the_papers_reproduce_it() -> None:
    findings = conclude(QUICK, results_of(as_the_paper))
    assert [f.claim.id for f in findings] == ["T1", "T2", "T3", "T4", "T5"]
    assert [f.verdict for f in findings] == ["reproduced"] * 5
    assert "TTQ of 8 layers is worse" in findings[0].note
    assert "TTQ of 20 layers beats it" in findings[0].note
    assert "8.87 / 8.23 %" in findings[0].claim.paper_figure
    assert findings[2].claim.paper_figure == findings[3].claim.paper_figure == "direction"


def test_numbers_against_the_paper_do_not() -> None:
    def error(experiment: str, variant: str, seed: int) -> float:
        return 30.0 - 2 * as_the_paper(experiment, variant, seed) + (20 if variant == TTQ else 0)

    found = verdicts(conclude(QUICK, results_of(error)))
    assert found == {
        **dict.fromkeys(("T1", "T2", "T3", "T4"), "not reproduced"),
        "T5": "reproduced",
    }


def test_which_sparsities_are_compared_is_decided_by_validation() -> None:
    results = results_of(as_the_paper)
    for run in results.runs:
        if run.variant == sparse(0.1):
            run.figures["validation_error"] = 1.0  # type: ignore[index]
    finding = conclude(QUICK, results)[3]
    assert finding.comparisons[0].name == "r=0.1 - r=0 (points)"


def test_slopes_are_of_each_seed() -> None:
    found = slopes({8: np.array([1.0, 0.0]), 14: np.array([0.7, 0.6]), 20: np.array([0.4, 1.2])})
    assert found == pytest.approx([-0.5, 1.0])


def test_the_figure_has_a_panel_for_each_claim_about_errors() -> None:
    titles = " ".join(panel.title for panel in draw(QUICK, results_of(as_the_paper)))
    assert all(f"T{number}" in titles for number in range(1, 5))
