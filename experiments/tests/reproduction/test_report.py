"""What a report says, and the figure beside it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import torch

from rlquant.errors import SettingsError, UnknownNameError
from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.reproduction import papers
from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.figures import panels_figure
from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.papers import reproduce
from rlquant_experiments.reproduction.reproduction import Reproduction, Scale
from rlquant_experiments.reproduction.runs import Job, Results
from rlquant_experiments.reproduction.tables import listed, variants_table


def invented(scale: Scale) -> Reproduction:
    """A paper whose runs measure what their variant says."""
    levels = {"old": 10.0, "new": 8.0}
    jobs = [
        Job(
            experiment="net",
            variant=variant,
            seed=seed,
            settings={"level": level},
            measure=lambda progress, level=level, seed=seed: {
                "test_error": level + 0.1 * seed,
                "validation_error": level,
                "curve": [3.0, 2.0, 1.0],
            },
        )
        for seed in range(scale.seeds or 3)
        for variant, level in levels.items()
    ]
    return Reproduction(
        paper="invented",
        title="Invented et al. 2030: a claim",
        introduction="Nothing departs.",
        caption="errors",
        settings={"preset": scale.preset, "seeds": str(scale.seeds or 3)},
        jobs=jobs,
        conclude=conclude,
        draw=lambda results: [
            Panel("errors", "epoch", "error (%)", [Series("new", [1, 2, 3], [[3.0, 2.0, 1.0]])])
        ],
    )


def conclude(results: Results) -> list[Finding]:
    old, new = (results.values("net", variant, "test_error") for variant in ("old", "new"))
    return [
        Finding(
            claim=Claim("X1", "The new one errs less.", "2.3 points"),
            ours=listed({"old": old, "new": new}),
            table=variants_table(results, [("net", "old"), ("net", "new")]),
            comparisons=[Comparison.of("new - old (points)", new - old, "below")],
            note="As expected.",
        )
    ]


@pytest.fixture
def _invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(papers, "PAPERS", {"invented": invented})


def make(folder: Path, **scale: int) -> str:
    command = ["python", "scripts/reproduce.py", "invented"]
    reproduce(
        "invented",
        Scale(**scale),
        out=folder / "results",
        work=folder / "work",
        command=command,
        progress=False,
    )
    return (folder / "results" / "invented.md").read_text("utf-8")


@pytest.mark.usefixtures("_invented")
def test_the_report_has_command_machine_settings_claims_and_numbers(tmp_path: Path) -> None:
    text = make(tmp_path)
    for words in (
        "# Invented et al. 2030: a claim",
        "    python scripts/reproduce.py invented\n",
        f"torch {torch.__version__}",
        "cores",
        "| preset | quick |",
        "| X1 | The new one errs less. | 2.3 points | old 10.10 ± 0.10 %, new 8.10 ± 0.10 % | 3 |",
        "## X1: reproduced",
        "| old | 10.10 ± 0.10 | 10.00 ± 0.00 | 3 |",
        "| new - old (points) | -2.00 [-2.00, -2.00] | 3 | below 0 | reproduced |",
        "As expected.",
        "![errors](invented.png)",
    ):
        assert words in text
    assert (tmp_path / "results" / "invented.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("_invented")
def test_every_number_is_in_the_table_of_runs(tmp_path: Path) -> None:
    make(tmp_path)
    text = (tmp_path / "results" / "invented.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    found = {(r["variant"], r["seed"]): r["value"] for r in rows if r["figure"] == "test_error"}
    assert found[("new", "2")] == "8.2"
    assert len(found) == 6
    assert not any(row["figure"] == "curve" for row in rows)


@pytest.mark.usefixtures("_invented")
def test_one_seed_is_a_tie(tmp_path: Path) -> None:
    text = make(tmp_path, seeds=1)
    assert "## X1: tie" in text
    assert "| new - old (points) | -2.00 [one seed] | 1 | below 0 | tie |" in text


@pytest.mark.usefixtures("_invented")
def test_an_unknown_paper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown paper 'invnted'; did you mean 'invented'"):
        reproduce("invnted", Scale(), out=tmp_path, work=tmp_path, command=[])


def test_wrong_scales_are_refused() -> None:
    with pytest.raises(SettingsError, match="seeds=0"):
        Scale(seeds=0)
    with pytest.raises(SettingsError, match="device 'cdua' cannot be used"):
        Scale(device="cdua")


def test_rows_of_several_experiments_name_them() -> None:
    from rlquant_experiments.reproduction.runs import Run

    results = Results([Run(e, "a", 0, {"loss": 1.0}, 1.0) for e in ("x", "y")])
    table = variants_table(results, [("x", "a"), ("y", "a")], {"loss": ("loss", 1)})
    assert table.headings == ("variant", "loss", "seeds")
    assert table.rows == [("x: a", "1.0", "1"), ("y: a", "1.0", "1")]


# --- figures


def test_panels_of_every_kind_are_drawn() -> None:
    runs = [[3.0, 2.0], [5.0, 1.0]]
    panels = [
        Panel("words", "kind", "error", [Series("a", ["x", "y"], runs), Series("b", ["y"], [[2]])]),
        Panel("logs", "rate", "error", [Series("a", [0.1, 1.0], runs)], True, True),
        Panel("level", "bits", "error", [Series("float", [8, 14], runs, dashed=True)]),
    ]
    figure = panels_figure(panels)
    axes = [a for a in figure.axes if a.axison]
    assert [a.get_title() for a in axes] == ["words", "logs", "level"]
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["x", "y"]
    assert axes[1].get_xscale() == axes[1].get_yscale() == "log"
    assert list(axes[2].get_xticks()) == [8, 14]
    assert len(png(figure)) > 10_000


def test_a_series_needs_a_number_at_each_position() -> None:
    with pytest.raises(SettingsError, match="Series 'a': 2 positions and runs of"):
        Series("a", [1, 2], [[1.0]])
    with pytest.raises(SettingsError, match="Series 'a'"):
        Series("a", [1, 2], [])


def test_many_words_on_an_axis_are_turned() -> None:
    for count, turned in ((3, 0.0), (9, 40.0)):
        words = [f"way {number}" for number in range(count)]
        panel = Panel("ways", "", "loss", [Series("runs", words, [[1.0] * count])])
        (axes,) = [a for a in panels_figure([panel]).axes if a.axison]
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {turned}
