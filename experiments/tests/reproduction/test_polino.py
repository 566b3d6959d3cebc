"""The experiments on Polino's claims: what is run, and what is concluded of invented numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rlquant_experiments.reproduction.papers import reproduce
from rlquant_experiments.reproduction.polino.experiments import conclude, polino
from rlquant_experiments.reproduction.polino.lab import Lab
from rlquant_experiments.reproduction.polino.panels import draw
from rlquant_experiments.reproduction.polino.presets import PAPER, PRESETS, QUICK, TINY
from rlquant_experiments.reproduction.polino.variants import CELLS
from rlquant_experiments.reproduction.reproduction import Preset, Scale
from rlquant_experiments.reproduction.runs import Results, Run

JOBS = polino(Scale()).jobs
Error = Callable[[str, str, int], float]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_its_runs_apart(preset: Preset) -> None:
    jobs = polino(Scale(preset, seeds=4)).jobs
    assert len({job.name for job in jobs}) == len({job.key for job in jobs}) == len(jobs)
    assert {0, 1, 2, 3} <= {job.seed for job in jobs}
    assert all(job.steps >= 1 for job in jobs)


def test_the_quick_preset_has_at_least_three_seeds_of_everything() -> None:
    for experiment in {job.experiment for job in JOBS} - {"rates"}:
        assert len({job.seed for job in JOBS if job.experiment == experiment}) >= 3


def test_rates_are_tried_with_a_seed_of_their_own_and_not_on_the_test_set() -> None:
    tried = {job.seed for job in JOBS if job.experiment == "rates"}
    assert not tried & {job.seed for job in JOBS if job.experiment != "rates"}


@pytest.mark.parametrize("preset", [QUICK, PAPER, TINY])
def test_teachers_are_larger_and_students_have_no_dropout(preset: object) -> None:
    assert isinstance(preset, type(QUICK))
    shape = (3, 32, 32) if preset is PAPER else (1, 28, 28)
    teacher, student, small, deeper = (
        network.build(shape, 10, 0)
        for network in (preset.teacher, preset.student, preset.small, preset.deeper)
    )
    count = {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in (("teacher", teacher), ("student", student), ("small", small))
    }
    assert count["teacher"] > count["student"] > count["small"]
    words = [type(module).__name__ for net in (student, small, deeper) for module in net.modules()]
    assert not any("Dropout" in word for word in words)
    convolutions = [sum("Conv" in type(m).__name__ for m in n.modules()) for n in (teacher, deeper)]
    assert convolutions[0] < convolutions[1]


def test_the_paper_preset_has_the_papers_settings() -> None:
    settings = PAPER.training
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (200, 25, 1e-3)
    assert (settings.optimizer, settings.momentum) == ("sgd", 0.9)
    assert settings.weight_decay == pytest.approx(2.2e-4)
    assert (settings.temperature, settings.distillation_weight) == (2.0, 0.7)
    assert PAPER.data == "cifar10"


def test_the_ablation_has_all_combinations() -> None:
    assert len({cell.name for cell in CELLS}) == 8
    assert CELLS[0].name == "none"
    assert CELLS[-1].name == "redistribution + distillation + quantiles"


def test_a_student_is_trained_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_CACHE", str(tmp_path))
    told: list[int] = []
    lab = Lab(TINY, 7, "cpu")
    first = lab.student(progress=told.append)
    assert sum(told) == 8
    again = lab.student(progress=told.append)
    assert sum(told) == 8
    assert all(
        bool((one == other).all())
        for one, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_the_tiny_preset_runs_and_writes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_CACHE", str(tmp_path / "cache"))
    findings = reproduce(
        "polino",
        Scale("tiny"),
        out=tmp_path,
        work=tmp_path / "work",
        command=["python", "scripts/reproduce.py", "polino"],
        progress=False,
    )
    text = (tmp_path / "polino.md").read_text("utf-8")
    assert [finding.claim.id for finding in findings] == [f"P{n}" for n in range(1, 11)]
    assert all(f"## P{number}: " in text for number in range(1, 11))
    assert "nan" not in text
    sizes = next(finding for finding in findings if finding.claim.id == "P8")
    assert sizes.verdict == "reproduced"


# --- conclusions


def results_of(error: Error) -> Results:
    """Every run of the quick preset, with invented numbers."""
    return Results(
        Run(
            job.experiment,
            job.variant,
            job.seed,
            figures_of(job.experiment, job.variant, job.seed, error),
            1.0,
        )
        for job in JOBS
    )


def figures_of(experiment: str, variant: str, seed: int, error: Error) -> dict[str, float]:
    if experiment == "noise":
        length = int(variant.split()[-1])
        bias = 0.002 * (1 if seed % 2 else -1)
        return {
            "bias": bias,
            "spread": 1.0,
            "ks": 0.5 / length**0.5,
            "nearest_bias": 0.4 + bias,
            "kurtosis": -1 / length,
        }
    if experiment == "depth":
        return {
            **{f"milliseconds of {n} layers": float(n) for n in (16, 8, 4)},
            **{f"times as fast with {n} layers": 15.5 / n + 0.01 * seed for n in (8, 4)},
            **{f"times fewer operations with {n} layers": 16.0 / n for n in (8, 4)},
        }
    level = error(experiment, variant, seed)
    found = re.search(r"(\d) bits", variant)
    bits = int(found[1]) if found else 32
    return {
        "test_error": level,
        "validation_error": level,
        "renewed_test_error": level - 0.1,
        "weight_error": 10.0,
        "huffman_bits": bits - 0.2,
        "entropy_bits": bits - 0.3,
        "bytes": 1000.0 * bits,
        "formula_bytes": 900.0 * bits,
        **{f"{part}_bytes": 10.0 for part in ("bucket", "block", "table", "head")},
        "unnamed_percent": 0.0,
    }


def as_the_paper(experiment: str, variant: str, seed: int) -> float:
    noise = 0.01 * seed
    if experiment == "ablation":
        return 30.0 - 5.0 * ("quantiles" in variant) - 1.0 * ("distillation" in variant) + noise
    if experiment in ("teacher", "deeper student"):
        return 10.0 + noise
    labels = 0.5 + noise if "labels" in variant else 0.0
    added = {
        "PM 2 bits, no buckets": 79.0,
        "PM 2 bits, buckets": 78.0,
        "PM 3 bits, no buckets": 40.0,
        "PM 3 bits, buckets": 8.0,
        "PM 4 bits, no buckets": 20.0,
        "PM 4 bits, buckets": 1.6,
        "QD 2 bits": 6.0,
        "QD 4 bits": 0.8,
        "DQ 2 bits": 9.0,
        "DQ 4 bits": 0.6,
    }
    return 11.0 + added.get(variant.removesuffix(", labels alone"), 0.0) * (1 + noise) + labels


def test_numbers_like_the_papers_reproduce_it() -> None:
    findings = conclude(QUICK, results_of(as_the_paper))
    assert {f.claim.id: f.verdict for f in findings} == {
        f"P{number}": "reproduced" for number in range(1, 11)
    }


def test_numbers_against_the_paper_do_not() -> None:
    def error(experiment: str, variant: str, seed: int) -> float:
        return 100.0 - as_the_paper(experiment, variant, seed) * (1 + 0.1 * (variant == "float"))

    verdicts = {f.claim.id: f.verdict for f in conclude(QUICK, results_of(error))}
    for claim in ("P1", "P2", "P3", "P4", "P5"):
        assert verdicts[claim] == "not reproduced", claim


def test_effects_of_other_heuristics_are_told_and_decide_nothing() -> None:
    (finding,) = [f for f in conclude(QUICK, results_of(as_the_paper)) if f.claim.id == "P5"]
    assert "quantiles +5.00 [+5.00, +5.00]" in finding.ours
    assert "distillation loss +1.00" in finding.note
    assert len(finding.comparisons) == 1


def test_the_figure_has_methods_heuristics_and_noise() -> None:
    panels = draw(QUICK, results_of(as_the_paper))
    titles = " ".join(panel.title for panel in panels)
    assert all(claim in titles for claim in ("P1", "P2", "P4", "P5", "P7"))
    labels = {series.label for panel in panels for series in panel.series}
    assert {"PM, no buckets", "PM, buckets", "QD", "DQ"} <= labels
