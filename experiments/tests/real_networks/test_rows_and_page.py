"""Rows of the report on real networks: kept files, and what the page says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlquant.errors import UnknownNameError
from rlquant.evaluation.measure import score_outputs
from rlquant.objective import Distillation, NextToken, targets_of
from rlquant.samples import Samples
from rlquant_experiments.commands.real_networks import run
from rlquant_experiments.real_networks.page import write_page
from rlquant_experiments.real_networks.rows import (
    Figures,
    Row,
    keep_row,
    read_row,
    searched_rows,
    uniform_rows,
)
from rlquant_experiments.real_networks.settings import (
    AMOUNTS,
    QUANTIZERS,
    RealNetworkSettings,
)
from rlquant_experiments.real_networks.test_set import Joined

TASK = "minilm-l6"


def figures(loss: float, bits: float = 3.0) -> Figures:
    return Figures(round(1e6 * bits), bits, loss, loss, 0.5, {"cosine": 1 - loss}, 1.0)


def settings(folder: Path) -> RealNetworkSettings:
    return RealNetworkSettings(tasks=(TASK,), budgets=(3.0,), seeds=2, out=folder)


def test_every_row_has_a_file_of_its_own(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    rows = [*uniform_rows(chosen, TASK), *searched_rows(chosen, TASK)]
    assert len(rows) == 1 + 4 * 3 * 3 + 2 * 5
    assert len({row.name for row in rows}) == len(rows)


def test_a_kept_row_is_read_under_the_same_settings_alone(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    row = Row(TASK, 3.0, searcher="auto", seed=1)
    assert read_row(tmp_path, row, chosen) is None
    keep_row(tmp_path, row, chosen, figures(0.25))
    assert read_row(tmp_path, row, chosen) == figures(0.25)
    assert read_row(tmp_path, row, replace(chosen, evaluations=7)) is None
    uniform = Row(TASK, 3.0, QUANTIZERS[0])
    keep_row(tmp_path, uniform, chosen, figures(0.5))
    assert read_row(tmp_path, uniform, replace(chosen, evaluations=7)) == figures(0.5)


def test_a_page_of_kept_rows_measures_nothing(tmp_path: Path) -> None:
    findings = tmp_path / "findings.md"
    findings.write_text("Groups of 64 are worth their scales.\n")
    chosen = replace(settings(tmp_path), page_only=True, findings=findings)
    keep_row(tmp_path, Row(TASK, 3.0, searcher="auto", seed=1), chosen, figures(0.25))
    assert run(chosen, ["real_networks"]) == 0
    text = (tmp_path / "real-networks.md").read_text()
    assert "| auto | 0.2500 |" in text
    assert text.index("worth their scales") < text.index(f"## {TASK}")


def test_amounts_are_those_of_the_task_where_none_are_given(tmp_path: Path) -> None:
    chosen = replace(settings(tmp_path), test=7)
    assert chosen.amounts("smollm2-135m") == AMOUNTS["smollm2-135m"]._replace(test=7)
    assert chosen.amounts("smollm2-135m").precision == "bfloat16"
    assert replace(chosen, precision="own").amounts("smollm2-135m").precision == "own"


@pytest.mark.parametrize(("agent", "word"), [(0.1, "ahead of"), (0.3, "**behind**")])
def test_the_page_says_where_the_agent_stands(tmp_path: Path, agent: float, word: str) -> None:
    rows = {
        Row(TASK, 32): figures(0.0, 32),
        Row(TASK, 3, QUANTIZERS[2], 64): figures(0.2),
        Row(TASK, 4, QUANTIZERS[2], 64): figures(0.05, 4.0),  # over the budget: not compared with
        Row(TASK, 3.0, searcher="auto"): figures(agent - 0.01),
        Row(TASK, 3.0, searcher="auto", seed=1): figures(agent + 0.01),
        Row(TASK, 3.0, searcher="random"): figures(0.5),
    }
    text = write_page(settings(tmp_path), rows, ["real_networks"])
    assert f"3 bits: auto {agent:.4f}; ahead of the best other search, random, 0.5000" in text
    assert f"{word} the best uniform, uniform GPTQ, 3 bits, groups 64, 0.2000" in text
    assert f"| auto | {agent:.4f} ({agent - 0.01:.4f} to {agent + 0.01:.4f}) |" in text
    assert "| best uniform that fits | 0.2000 |" in text
    assert (tmp_path / f"real-networks-{TASK}.png").stat().st_size > 1000


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'minilm'"):
        RealNetworkSettings(tasks=("minilm",)).check()
    with pytest.raises(UnknownNameError, match="unknown searcher 'atuo'; did you mean 'auto'"):
        RealNetworkSettings(searchers=("atuo",)).check()


def test_two_objectives_are_scored_in_one_pass() -> None:
    """As if each were scored alone."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 7, (3, 5), generator=draw)
    wanted, given = torch.randn(2, 3, 5, 7, generator=draw).unbind()
    batch = Samples({"input_ids": ids}, {})
    first, second = Distillation("kl"), NextToken()
    alone = []
    for objective in (first, second, Joined(first, second)):
        targets = targets_of(objective, batch, lambda: wanted)
        prepared = batch.with_targets(targets)
        alone.append(score_outputs([given], [prepared], objective))
    kl, tokens, both = alone
    assert (both.loss, both.accuracy) == (kl.loss, kl.accuracy)
    metrics = {**kl.metrics, **tokens.metrics, "next-token": tokens.loss}
    assert both.metrics == pytest.approx(metrics)
