"""The experiments on assignments: the ways, the gradient, and what is concluded of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from assigned_layers import error, layer, nearest
from rlquant.errors import UnknownNameError
from rlquant.rounding.neighbours import Neighbours
from rlquant_experiments.reproduction.assignment import jobs as jobs_module
from rlquant_experiments.reproduction.assignment.experiments import assignment
from rlquant_experiments.reproduction.assignment.findings import conclude
from rlquant_experiments.reproduction.assignment.gradient import BASELINES, enumerated, variances
from rlquant_experiments.reproduction.assignment.jobs import GRADIENT, VARIANCE, WAYS, assigned_run
from rlquant_experiments.reproduction.assignment.lab import lab_of
from rlquant_experiments.reproduction.assignment.layer_ways import (
    FEEDBACK_DESCENT,
    FLIPS,
    LAYER_WAYS,
    LEARNED,
    NEAREST,
    POLICY,
    RELAXATION,
    STOCHASTIC,
    layer_ways,
)
from rlquant_experiments.reproduction.assignment.network_ways import ACROSS, NETWORK_WAYS
from rlquant_experiments.reproduction.assignment.panels import draw
from rlquant_experiments.reproduction.assignment.presets import PRESETS, experiment_name
from rlquant_experiments.reproduction.reproduction import Scale
from rlquant_experiments.reproduction.runs import Results, Run
from strategies import seeded

TINY = PRESETS["tiny"]
SHORT = replace(TINY, steps=100, samples=4)
PLACE = ("digits/mlp", 2, "cpu")


def nothing(steps: int) -> None:
    """Hear of progress."""


# --- the ways


@pytest.mark.parametrize("way", LAYER_WAYS)
def test_each_way_keeps_the_grid_and_is_the_same_again(way: str) -> None:
    weight, moments = layer(1)
    plain = nearest(weight)
    assign = layer_ways(SHORT)[way]
    found, again = (assign(weight, plain, moments, seeded(3)) for _ in range(2))
    assert torch.equal(found.codes, again.codes)
    assert torch.equal(found.codebook, plain.codebook)
    less = error(weight, found, moments) < error(weight, plain, moments)
    assert less or way == NEAREST


def test_more_draws_are_better() -> None:
    weight, moments = layer(2)
    plain = nearest(weight)
    errors = [
        error(weight, layer_ways(preset)[STOCHASTIC](weight, plain, moments, seeded(1)), moments)
        for preset in (replace(SHORT, steps=1), SHORT)
    ]
    assert errors[1] < errors[0]


def test_draws_go_to_neighbours_alone() -> None:
    weight, moments = layer(4)
    between = Neighbours.of(weight, nearest(weight), moments)
    for way in (STOCHASTIC, FLIPS):
        found = layer_ways(SHORT)[way](weight, nearest(weight), moments, seeded(1))
        step = found.codes.long().reshape(between.lower.shape) - between.lower
        assert set(step.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("way", [LEARNED, *NETWORK_WAYS])
def test_ways_across_layers_are_measured_with_the_learned_layers_behind_them(way: str) -> None:
    figures = [assigned_run(TINY, each, 0, *PLACE, nothing) for each in (NEAREST, way)]
    assert figures[0]["layer_error"] == pytest.approx(1.0)
    assert figures[0]["moved"] == 0.0
    assert figures[1]["layer_error"] < 0.7  # type: ignore[operator]
    assert figures[1]["loss"] < figures[0]["loss"]  # type: ignore[operator]
    assert 0 < figures[1]["moved"] < 1  # type: ignore[operator]


# --- the gradient


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_expected_estimate_is_the_exact_gradient(baseline: str) -> None:
    assert enumerated(baseline) < 1e-15  # type: ignore[arg-type]


def test_a_wrong_estimate_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "rlquant_experiments.reproduction.assignment.gradient.score_gradient"
    monkeypatch.setattr(module, lambda logits, *_: torch.zeros_like(logits))
    assert enumerated("none") == pytest.approx(0.126)  # the larger part of the exact one


def test_variances_fall_with_the_baseline() -> None:
    found = variances(lab_of("digits/mlp", 0, "cpu"), 2, samples=8, count=100)
    assert found["leave_one_out"] < found["none"]  # type: ignore[operator]


# --- what is concluded


def made(numbers: Mapping[str, tuple[float, float]], seeds: int = 5) -> Results:
    """Return results with layer error and loss by way, alike but for a little of each seed."""
    name, runs = experiment_name("digits/mlp", 2), []
    for seed in range(seeds):
        for way in WAYS:
            layer_error, loss = numbers[way]
            figures = {"layer_error": layer_error + 0.001 * seed, "loss": loss + 0.002 * seed}
            figures |= {"test_loss": loss, "test_error": 10.0, "moved": 0.1}
            figures = {k: v * (1 + 0.0001 * seed * len(way)) for k, v in figures.items()}
            runs.append(Run(name, way, seed, figures, 1.0))
        variance = {"none": 9.0 + seed, "greedy": 4.0 + 0.1 * seed, "leave_one_out": 3.0}
        runs.append(Run(VARIANCE, name, seed, variance, 1.0))
    runs.append(Run(GRADIENT, "enumerated", 0, dict.fromkeys(BASELINES, 1e-16), 1.0))
    return Results(runs)


def numbers(**better: tuple[float, float]) -> dict[str, tuple[float, float]]:
    found = dict.fromkeys(WAYS, (0.8, 0.5))
    return {**found, **{k.replace("_", " "): v for k, v in better.items()}}


def test_claims_follow_the_numbers() -> None:
    good = numbers(policy=(0.4, 0.4), learned=(0.3, 0.3), across_layers=(0.35, 0.2))
    good |= {RELAXATION: (0.45, 0.35), "across layers, corrected": (0.3, 0.29)}
    verdicts = [finding.verdict for finding in conclude(TINY, made(good))]
    assert verdicts == ["reproduced"] * 6
    bad = good | {POLICY: (0.6, 0.5), FLIPS: (0.5, 0.4), FEEDBACK_DESCENT: (0.2, 0.1)}
    verdicts = [finding.verdict for finding in conclude(TINY, made(bad))]
    assert verdicts == ["reproduced", *["not reproduced"] * 5]


def test_the_best_way_is_compared_with_every_control_and_no_variant_of_itself() -> None:
    finding = conclude(TINY, made(numbers()))[3]
    controls = [comparison.name.split(f"{ACROSS} - ")[1] for comparison in finding.comparisons]
    assert len(controls) == len(WAYS) - 3
    assert not any(control.startswith(ACROSS) for control in controls)


def test_every_number_of_the_figure_is_a_runs() -> None:
    panels = draw(TINY, made(numbers(policy=(0.4, 0.4))))
    assert [panel.title for panel in panels] == ["digits/mlp", "digits/mlp"]
    assert all(list(panel.series[0].x) == list(WAYS) for panel in panels)
    assert panels[0].series[0].y[0][WAYS.index(POLICY)] == pytest.approx(0.4)


def test_what_decides_a_run_decides_its_key() -> None:
    job = assignment(Scale("tiny")).jobs[1]
    same, other = (jobs_module._deciding(p) for p in (TINY, replace(TINY, steps=11)))
    assert job.settings == {"code": jobs_module.CODE, **same}
    assert same != other
    keys = [each.key for each in assignment(Scale("tiny")).jobs]
    assert len(set(keys)) == len(keys) == 1 + 2 * (len(WAYS) + 1)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'digits/mpl'"):
        assigned_run(TINY, NEAREST, 0, "digits/mpl", 2, "cpu", nothing)
