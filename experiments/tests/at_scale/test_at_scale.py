"""The page of what searches of pretrained networks find, of rows made by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlquant.errors import DataError
from rlquant_experiments.at_scale.problems import Problem, missing, problems_of, read_rows
from rlquant_experiments.at_scale.spending import spent
from rlquant_experiments.at_scale.standing import (
    PARTS,
    Standing,
    against_best,
    baselines,
    best_single,
    increases,
    level,
    paired_difference,
    standings,
)
from rlquant_experiments.commands.agents_at_scale import AtScaleSettings, run
from rlquant_experiments.real_networks.rows import Figures, Row, keep_row
from rlquant_experiments.real_networks.settings import QUANTIZERS, RealNetworkSettings

ENCODER, CLASSIFIER, LANGUAGE = "minilm-l6", "efficientnet-lite0", "smollm2-135m"
TASKS = (ENCODER, CLASSIFIER, LANGUAGE)


def keep(
    folder: Path, row: Row, loss: float, evaluations: int = 0, bits: float = 3.0, **other: Any
) -> None:
    figures = Figures(1, bits, other.pop("seen", loss), loss, 0.5, {}, 1.0, evaluations=evaluations)
    keep_row(folder, row, RealNetworkSettings(out=folder, **other), figures)


def search(task: str, searcher: str, seed: int = 0, bits: float = 3.0) -> Row:
    return Row(task, bits, searcher=searcher, seed=seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two problems: MiniLM, whose float loss is none, and EfficientNet."""
    keep(tmp_path, Row(ENCODER, 32), 1e-6, bits=32)
    keep(tmp_path, Row(CLASSIFIER, 32), 0.5, bits=32)
    for seed, loss in enumerate((0.1, 0.2)):
        keep(tmp_path, search(ENCODER, "auto", seed), loss, 36)
        keep(tmp_path, search(ENCODER, "random", seed), 2 * loss, 40)
    keep(tmp_path, search(CLASSIFIER, "auto"), 1.1, 28)
    keep(tmp_path, search(CLASSIFIER, "random"), 2.0, 30)
    keep(tmp_path, search(CLASSIFIER, "knapsack-fisher"), 1.0, 1)
    keep(tmp_path, Row(ENCODER, 3, QUANTIZERS[0], 64), 0.3, bits=2.9, seen=0.2)
    keep(tmp_path, Row(ENCODER, 3, QUANTIZERS[2], 64), 0.4, bits=2.9, seen=0.1)
    keep(tmp_path, Row(ENCODER, 4, QUANTIZERS[2], 64), 0.01, bits=4.2)  # over the budget
    return tmp_path


def problems(folder: Path) -> list[Problem]:
    found, notes = problems_of(read_rows([folder], TASKS))
    assert notes == []
    return found


def standings_of(found: list[Problem]) -> list[Standing]:
    return standings(found, baselines(found))


def test_rows_become_problems_with_their_runs(folder: Path) -> None:
    classifier, encoder = problems(folder)
    assert (encoder.name, classifier.name) == ("minilm-l6, 3 bits", "efficientnet-lite0, 3 bits")
    assert {name: len(runs) for name, runs in encoder.runs.items()} == {
        "auto": 2,
        "random": 2,
        "uniform": 1,
    }
    assert encoder.runs["uniform"][0].figures.loss == 0.4  # chosen on what searches see
    assert "uniform" not in classifier.runs


def test_increases_are_over_the_float_loss_where_there_is_one(folder: Path) -> None:
    classifier, encoder = problems(folder)
    assert increases(classifier, "auto").tolist() == pytest.approx([math.log(2.2)])
    assert increases(encoder, "auto").tolist() == pytest.approx([math.log(0.1), math.log(0.2)])
    assert level(encoder, "auto") == pytest.approx((math.log(0.1) + math.log(0.2)) / 2)


def test_tokens_count_passes_of_samples_and_a_backward_one_thrice(folder: Path) -> None:
    classifier, encoder = problems(folder)
    assert spent(encoder, encoder.runs["auto"][0]) == 40 * 48  # gradients are among them
    assert spent(encoder, encoder.runs["uniform"][0]) == 2 * 48  # both that fit
    fisher = classifier.runs["knapsack-fisher"][0]
    assert spent(classifier, fisher) == 1 * 128 + 3 * 64


def test_the_agent_stands_by_its_mean_difference_over_what_both_have(folder: Path) -> None:
    found = {standing.searcher: standing for standing in standings_of(problems(folder))}
    by_random, by_uniform, by_fisher = (found[n] for n in ("random", "uniform", "knapsack-fisher"))
    assert by_random.problems == 2
    assert by_random.difference.value == pytest.approx((math.log(0.5) + math.log(0.55)) / 2)
    assert by_random.difference.high < 0
    assert by_random.worst == pytest.approx(-45.0)
    assert (by_fisher.problems, by_fisher.worst) == (1, pytest.approx(10.0))
    assert by_uniform.problems == 1
    best = best_single(standings_of(problems(folder)))
    assert best is not None
    assert best.searcher == "random"  # of those with most problems


def test_the_worst_is_against_the_best_of_each_problem(folder: Path) -> None:
    found = {problem.task: (best, gap) for problem, best, gap in against_best(problems(folder))}
    assert found[CLASSIFIER] == ("knapsack-fisher", pytest.approx(10.0))
    assert found[ENCODER][0] == "random"
    assert found[ENCODER][1] == pytest.approx(-50.0)


def test_an_interval_is_of_problems_and_seeds() -> None:
    same = np.array([1.0, 1.0])
    apart = paired_difference([(same, same + 1), (same, same + 3)])
    assert (apart.value, apart.low, apart.high) == (-2.0, -3.0, -1.0)
    of_seeds = paired_difference([(np.array([0.0, 2.0]), np.array([1.0]))])
    assert (of_seeds.value, of_seeds.low, of_seeds.high) == (0.0, -1.0, 1.0)


def test_what_is_missing_is_listed(folder: Path) -> None:
    lines = missing(problems(folder), ("random", "amq"), dict.fromkeys(TASKS, 2))
    assert "efficientnet-lite0, random: seeds 1 at 3 bits" in lines
    assert "minilm-l6, amq: no seed at 3 bits" in lines
    assert "efficientnet-lite0, uniform: 0 measured that fit 3 bits" in lines
    assert "minilm-l6, uniform: 2 measured that fit 3 bits" in lines
    assert not any(line.startswith("minilm-l6, auto") for line in lines)


def test_rows_of_other_samples_are_left_out_and_said(folder: Path) -> None:
    keep(folder, search(ENCODER, "local-swap"), 0.001, 40, validation=7)
    keep(folder, search(ENCODER, "auto+refine"), 0.001, 40)
    found, notes = problems_of(read_rows([folder], TASKS))
    assert notes == [
        "minilm-l6: 1 rows of other samples are left out",
        "minilm-l6: 1 rows with +refine are left out",
    ]
    assert not any({"local-swap", "auto+refine"} & {*problem.runs} for problem in found)


def test_searches_of_more_evaluations_are_a_problem_of_their_own(folder: Path) -> None:
    more = folder / "more"
    more.mkdir()
    keep(more, Row(ENCODER, 32), 1e-6, bits=32)
    asked = RealNetworkSettings(out=more, evaluations=98)
    keep_row(more, search(ENCODER, "auto"), asked, Figures(1, 3.0, 0.08, 0.08, 0.5, {}, 1.0))
    found, notes = problems_of(read_rows([folder, more], TASKS))
    assert notes == []
    usual, other = (p for p in found if p.task == ENCODER)
    assert (usual.name, other.name) == ("minilm-l6, 3 bits", "minilm-l6, 3 bits, 98 evaluations")
    assert [run.figures.loss for run in other.runs["auto"]] == [0.08]
    assert len(usual.runs["auto"]) == 2
    assert spent(other, other.runs["auto"][0]) == 98 * 48
    assert not any("98" in line for line in missing(found, ("random",), dict.fromkeys(TASKS, 2)))


def test_the_command_writes_the_page_and_its_figure(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "page" / "agents.md"
    findings = tmp_path / "findings.md"
    findings.write_text("What to know first.\n")
    chosen = AtScaleSettings(
        rows=(folder,), searchers=("random",), seeds=2, findings=findings, report=report
    )
    assert run(chosen, ["agents_at_scale"]) == 0
    text = report.read_text()
    assert "\n\nWhat to know first.\n\n## Verdict" in text
    assert "best single baseline of those with most problems (2): random" in text
    assert "at worst +10.0 % of the loss (efficientnet-lite0, 3 bits, knapsack-fisher)" in text
    assert "| auto | 0.788 | **-1.956** (2) | -0.584 |" in text
    assert "- efficientnet-lite0, random: seeds 1 at 3 bits" in text
    assert (report.parent / "agents-differences.png").stat().st_size > 1000


def test_parts_of_the_agent_are_no_baselines(folder: Path, tmp_path: Path) -> None:
    keep(folder, search(CLASSIFIER, "auto-racing"), 0.9, 28)
    keep(folder, search(CLASSIFIER, "auto-first-answer"), 1.2, 1)
    keep(folder, search(CLASSIFIER, "masked-ppo"), 0.9, 28)
    keep(folder, search(CLASSIFIER, "masked-ppo-plain"), 1.2, 28)
    found = problems(folder)
    assert not set(baselines(found)) & set(PARTS)
    assert all(best not in PARTS for _, best, _ in against_best(found))
    first = next(p for p in found if p.task == CLASSIFIER)
    assert spent(first, first.runs["auto-first-answer"][0]) == 1 * 128 + 3 * 64
    report = tmp_path / "agents.md"
    settings = AtScaleSettings(rows=(folder,), report=report, title="Parts")
    run(settings, ["agents_at_scale"])
    text = report.read_text()
    assert text.startswith("# Parts\n")
    assert "| masked-ppo-plain | 1 | -0.288 | -25.0 |" in text
    assert "| knapsack-fisher | 1 | +0.182 | +20.0 |" in text  # of first answers
    assert "| auto-racing | 1 | +0.201 | +22.2 |" in text


def test_a_page_without_the_agent_says_so(tmp_path: Path) -> None:
    keep(tmp_path, Row(ENCODER, 32), 0.0, bits=32)
    keep(tmp_path, search(ENCODER, "random"), 0.2, 40)
    report = tmp_path / "agents.md"
    run(AtScaleSettings(rows=(tmp_path,), report=report), ["agents_at_scale"])
    assert "Nothing to compare" in report.read_text()


def test_a_page_is_made_again_of_the_rows_beside_it(folder: Path) -> None:
    report = folder / "agents.md"
    run(AtScaleSettings(rows=(folder,), report=report), ["agents_at_scale"])
    text = report.read_text()
    again = folder / "again.md"
    run(AtScaleSettings(rows=(report.with_suffix(".json"),), report=again), ["agents_at_scale"])
    assert again.read_text() == text.replace("agents-differences", "again-differences")
    assert again.with_suffix(".json").read_text() == report.with_suffix(".json").read_text()


def test_folders_without_rows_and_rows_twice_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows of minilm-l6"):
        read_rows([tmp_path / ".."], TASKS)
    with pytest.raises(DataError, match="is in two places"):
        read_rows([folder, folder], TASKS)
