"""`rlquant search`: tiny runs, bad input, kill -9 and Ctrl-C."""

from __future__ import annotations

import csv
import json
import math
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import rlquant
from html_page import HtmlPage
from rlquant import EvaluationStore, QuantizationConfig, Score
from rlquant.__main__ import main
from rlquant.evaluation.evaluator import Evaluator
from rlquant.finished_run import finished_run
from rlquant.testing import ToyProblem
from rlquant_agents import searchers
from rlquant_agents.cli import search
from rlquant_agents.cli.search_settings import SearchSettings
from rlquant_agents.cli.search_summary import Row, terminal_table
from rlquant_agents.reporting import make_report

pytestmark = pytest.mark.usefixtures("blank_figures")
TERMINAL = 80
"""Columns."""

# The command as a process that writes down every configuration it really measures, and after so
# many waits a moment before each, to be ended there. Ctrl-C is set because a process that was
# started in the background ignores it.
WATCHED = """
import runpy, signal, sys, time
from matplotlib.figure import Figure
from rlquant.evaluation.evaluator import Evaluator
from rlquant_agents.reporting import report

log, quick, *arguments = sys.argv[1:]
measure, measured = Evaluator.measure, []

def watched(self, config, watch=None, following=None):
    with open(log, "a") as stream:
        stream.write(config.key + "\\n")
    measured.append(config)
    time.sleep(0.2 if len(measured) > int(quick) else 0.0)
    return measure(self, config, watch, following)

def blank(runs):
    return {name: Figure(figsize=(1, 1)) for name in ("pareto", "layers", "search")}

Evaluator.measure, report._figures = watched, blank
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["rlquant", "search", *arguments]
runpy.run_module("rlquant", run_name="__main__")
"""


def tiny(out: Path, *more: str) -> list[str]:
    plain = ["--task", "digits/mlp", "--evaluations", "6", "--no-progress", "--out", str(out)]
    return [*plain, *more]


def keys_of(out: Path) -> list[str]:
    with open(out / "evaluations.csv", newline="", encoding="utf-8") as stream:
        return [row["key"] for row in csv.DictReader(stream)]


# --- a run


def test_it_writes_a_network_within_the_budget_and_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert search.main(tiny(out, "--searcher", "random", "--baselines", "uniform", "random")) == 0
    shown = capsys.readouterr().out
    for words in ("smallest reachable", "float", "uniform", "random", "tensorboard.main --logdir"):
        assert words in shown
    assert all(len(line) <= 80 or str(tmp_path) in line for line in shown.splitlines())
    assert shown.count("stay float whatever") == 1
    rows = json.loads((out / "summary.json").read_text())
    assert [row["name"] for row in rows] == ["float", "uniform", "random"]
    assert rows[-1]["score"]["average_bits"] <= 3.2
    task = rlquant.tasks.load("digits/mlp")
    network = rlquant.load(out / "model.rlq", task.network)
    assert rlquant.measure(network, task.test).accuracy == rows[-1]["test_accuracy"]
    assert rlquant.measure(network, task.validation).accuracy == rows[-1]["score"]["accuracy"]
    assert (out / "model.rlq").stat().st_size == rows[-1]["score"]["size_bytes"]
    assert (out / "comparison.png").stat().st_size > 10_000
    assert f"written to {out}:\n  model.rlq " in shown
    made = make_report(out)
    (ours,) = (line for line in made.text.splitlines() if line.startswith("random, seed 0 "))
    assert ours.split()[6] == f"{rows[-1]['test_accuracy']:.4f}"
    assert made.html == (out / "report.html").read_text(encoding="utf-8")
    assert "rlquant.tasks.load(&#39;digits/mlp&#39;).network" in made.html
    assert (out / "baselines" / "uniform" / "result.json").exists()
    command = json.loads((out / "settings.json").read_text())["command"]
    assert command[:4] == ["rlquant", "search", "--task", "digits/mlp"]


def test_a_file_gives_settings_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    text = "task: digits/mlp\nsearcher: random\nbaselines: []\nevaluations: 9\nprogress: false\n"
    file.write_text(text, encoding="utf-8")
    out = tmp_path / "run"
    assert search.main(["--config", str(file), "--evaluations", "3", "--out", str(out)]) == 0
    settings = json.loads((out / "settings.json").read_text())
    assert (settings["task"], settings["searcher"], settings["evaluations"]) == (
        "digits/mlp",
        "random",
        3,
    )


def test_uniform_is_the_same_everywhere_and_listed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    given = tiny(out, "--fidelity", "tuned", "--budget", "2.3", "--steps", "2", "--final-epochs")
    few = ("--bits", "2", "3", "--group-size", "channel")
    assert search.main([*given, "1", *few, "--searcher", "random", "--baselines", "uniform"]) == 0
    terminal = capsys.readouterr().out
    (row,) = (r for r in json.loads((out / "summary.json").read_text()) if r["name"] == "uniform")
    found = json.loads((out / "baselines" / "uniform" / "result.json").read_text())
    facts = json.loads((out / "layers.json").read_text())["uniform"]
    assert row["score"] == found["score"] == facts["score"]
    loss, tested = f"{row['score']['loss']:.4f}", f"{row['test_loss']:.4f}"
    for text in (terminal, make_report(out).text):
        (line,) = (line for line in text.splitlines() if re.match("uniform  +[0-9]", line))
        assert line.split()[1] == loss
        assert line.split()[3] == tested
        assert "uniform is the best of 6 of 13 uniform configurations" in text
    words = HtmlPage((out / "report.html").read_text(encoding="utf-8")).words
    assert words.count("uniform") == 1
    assert words[words.index("uniform") + 1] == loss


def test_a_finished_search_answers_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["search", "--task", "digits/mlp", "--searcher", "random", "--baselines"]
    words += ["--evaluations", "2", "--no-progress"]
    assert main(words) == 0
    said = capsys.readouterr().out
    prose = [line for line in said.splitlines() if " -m " not in line]  # a command is one line
    assert max(map(len, prose)) <= TERMINAL
    (out,) = (tmp_path / "runs").glob("digits*")
    monkeypatch.setattr(search, "run", None)  # nothing is searched
    assert main(words) == 0
    again = capsys.readouterr().out
    assert again.startswith("finished before, nothing is computed; the answer of\nruns/digits-mlp")
    assert again.endswith(said[said.index("Best within") :])
    assert finished_run(["--seed", "0", *words[1:]]) is None
    assert finished_run([*words[1:], "--out", str(out)]) is None
    monkeypatch.setenv("RLQUANT_DATA", "elsewhere")
    assert finished_run(words[1:]) is None
    monkeypatch.delenv("RLQUANT_DATA")
    assert finished_run(words[1:]) is not None
    (out / "model.rlq").write_bytes(b"damaged")
    assert finished_run(words[1:]) is None


def test_every_run_writes_the_recipe_that_repeats_it(tmp_path: Path) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    given = tiny(out, "--searcher", "random", "--baselines", "--bits", "2", "4", "--seed", "3")
    assert search.main(given) == 0
    recipe = ["--config", str(out / "recipe.yaml"), "--no-progress", "--out", str(again)]
    assert search.main(recipe) == 0
    for name in ("config.json", "score.json", "model.rlq", "recipe.yaml"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_a_report_of_uniform_alone_and_of_its_trained_network(tmp_path: Path) -> None:
    arguments = tiny(
        tmp_path / "run", "--searcher", "uniform", "--baselines", "--fidelity", "tuned"
    )
    long = ["--steps", "2", "--final-epochs", "1", "--report", str(tmp_path / "report.md")]
    assert search.main([*arguments, *long]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "- **uniform**: " in text
    assert "| uniform, trained |" in text
    rows = {row["name"]: row for row in json.loads((tmp_path / "run/summary.json").read_text())}
    task = rlquant.tasks.load("digits/mlp")
    network = rlquant.load(tmp_path / "run" / "model-trained.rlq", task.network)
    assert rlquant.measure(network, task.test).accuracy == rows["uniform, trained"]["test_accuracy"]


def test_the_main_job_runs_with_all_of_its_baselines(tmp_path: Path) -> None:
    assert search.main(tiny(tmp_path / "run", "--budget", "2500", "--quantity", "size_bytes")) == 0
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())
    names = [row["name"] for row in rows]
    assert names == ["float", *SearchSettings().baselines, "auto"]
    assert all(row["score"]["size_bytes"] <= 2500 for row in rows[1:])


def test_names_and_places_have_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--task", "digits/mlp", "--evaluations", "2", "--no-progress", "--baselines"]
    assert search.main([*arguments, "--searcher", "random"]) == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        "digits-mlp-random-3.2-seed0",
        "evaluations.sqlite",
    }


def test_a_search_with_other_settings_gets_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = ["--task", "digits/mlp", "--searcher", "random", "--no-progress", "--baselines"]
    for evaluations, *more in (("2",), ("2", "--bits", "2", "4"), ("3",)):
        assert search.main([*plain, "--evaluations", evaluations, *more]) == 0
    name = "digits-mlp-random-3.2-seed0"
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert folders == [name, f"{name}-2"]
    assert [len(keys_of(tmp_path / "runs" / folder)) for folder in folders] == [3, 2]


def test_searches_beside_each_other_share_what_was_computed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert search.main(tiny(tmp_path / name, "--searcher", "random", "--baselines")) == 0
    computed = [
        json.loads((tmp_path / name / "result.json").read_text())["computed"] for name in "ab"
    ]
    assert computed == [6, 0]


def test_a_loss_that_is_not_finite_is_null_in_the_summary() -> None:
    score = Score(
        loss=math.inf, accuracy=0.1, size_bytes=1, average_bits=2.0, size_ratio=0.1, bops=1
    )
    document = Row("random", score, math.inf, 0.1, 3).document()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["score"]["loss"] is json.loads(text)["test_loss"] is None


def test_a_table_of_long_names_and_large_networks_fits_a_terminal() -> None:
    score = Score(
        loss=12.3456789, accuracy=0.5, size_bytes=999_999_999, average_bits=12.5, size_ratio=1.0,
        bops=1,
    )  # fmt: skip
    longest = max((*searchers(), "random, trained"), key=len)
    table = terminal_table([Row(longest, score, 12.3456789, 0.5, 1000)], ToyProblem(2, 4.0))
    assert longest in table
    assert max(map(len, table.splitlines())) <= TERMINAL


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "digits/mpl"], "did you mean 'digits/mlp'"),
        (["--searcher", "knapsak"], "did you mean 'knapsack'"),
        (["--baselines", "randm"], "did you mean 'random'"),
        (["--reward", "los"], "did you mean 'loss'"),
        (["--log", "wandbb"], "did you mean 'wandb'"),
        (["--budget", "0.5"], "smallest reachable"),
        (["--budget", "-1"], "positive number"),
        (["--evaluations", "0"], "at least 1"),
        (["--evaluations", "0", "--task", "digits/mpl"], "at least 1"),
        (["--seed", "-1", "--task", "digits/mpl"], "seed=-1"),
        (["--reward", "los", "--task", "digits/mpl"], "did you mean 'loss'"),
        (["--bits", "2", "2"], "names an option twice"),
        (["--exclude", "clasifier"], "clasifier"),
        (["--quantity", "latency"], "--latency-table"),
        (["--calibration-samples", "0"], "calibration_samples=0"),
        (["--agent", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert search.main(tiny(tmp_path / "run", *arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error


def test_the_folder_of_another_search_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert search.main(tiny(out, "--searcher", "random", "--baselines")) == 0
    before = (out / "evaluations.csv").read_bytes()
    assert search.main(tiny(out, "--searcher", "random", "--budget", "4.0", "--baselines")) == 1
    error = capsys.readouterr().err
    assert "budget.limit was 3.2 and is 4.0 now" in error
    assert (out / "evaluations.csv").read_bytes() == before


# --- kill -9 and Ctrl-C, with real processes


def wait_for(store: Path, evaluations: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the store holds so many evaluations."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the search ended before it could be stopped"
        if store.exists() and EvaluationStore(store).count() >= evaluations:
            return
        time.sleep(0.02)
    raise AssertionError("the search did not get anywhere")


def process_arguments(out: Path, *more: str) -> list[str]:
    plain = ["--task", "digits/mlp", "--no-progress", "--out", str(out)]
    return [*plain, "--baselines", "--searcher", *more]


def start(log: Path, arguments: list[str], quick: int = 10_000) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WATCHED, str(log), str(quick), *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_killed_in_the_middle_it_goes_on_and_computes_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "killed" / "run", tmp_path / "killed" / "evaluations.sqlite"
    arguments = process_arguments(out, "tpe", "--evaluations", "24")

    process = start(tmp_path / "log", arguments, quick=12)
    with process:
        wait_for(store, 12, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    recorded = recorded_keys(store)
    assert 12 <= len(recorded) < 24
    left = QuantizationConfig.from_json((out / "config.json").read_text())
    assert left.key in recorded

    measured_again, measure = set[str](), Evaluator.measure

    def watched(self: Evaluator, config: QuantizationConfig, *more: Any) -> Any:
        measured_again.add(config.key)
        return measure(self, config, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "measure", watched)
        assert search.main(arguments) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if not line.endswith(("is the most", "of biases"))] == []
    assert measured_again & recorded == set()
    assert measured_again | recorded == recorded_keys(store)
    assert len(set(keys_of(out))) == len(keys_of(out)) > 12

    whole = tmp_path / "whole" / "run"
    assert search.main(process_arguments(whole, "tpe", "--evaluations", "24")) == 0
    assert keys_of(out) == keys_of(whole)
    for name in ("config.json", "score.json", "model.rlq"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def recorded_keys(store: Path) -> set[str]:
    connection = sqlite3.connect(store)
    try:
        return {key for (key,) in connection.execute("SELECT config_key FROM evaluations")}
    finally:
        connection.close()


def test_ctrl_c_keeps_the_best_and_writes_every_file(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = process_arguments(out, "random", "--evaluations", "5000")
    process = start(tmp_path / "log", arguments, quick=10)
    with process:
        wait_for(tmp_path / "evaluations.sqlite", 10, process)
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1]
    assert process.returncode == 130, error
    assert b"Traceback" not in error
    result = json.loads((out / "result.json").read_text())
    assert result["stopped"] == "interrupted"
    assert 10 <= result["evaluations"] < 5000
    assert result["score"]["average_bits"] <= 3.2
    for name in ("pareto.png", "layers.png", "search.png", "config.json", "score.json"):
        assert (out / name).stat().st_size > 0
    assert (out / "model.rlq").stat().st_size == result["score"]["size_bytes"]
    assert json.loads((out / "summary.json").read_text())[-1]["name"] == "random"


@pytest.mark.parametrize(
    ("text", "words"), [("2.3", "2.3..6"), ("6..2", "2.3..6"), ("a..b", "2.3..6")]
)
def test_a_range_that_is_none_is_refused(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search.main(["--budgets", text, "--out", str(tmp_path / "run")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", [["--agent", "runs/agent"], ["--searcher", "nsga2"]])
def test_a_range_is_for_one_agent_alone(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--budgets", "2.3..6", *more, "--out", str(tmp_path / "run")]
    assert search.main(given) == 1
    assert "leave out --agent and --searcher" in capsys.readouterr().err


def test_one_agent_searches_a_whole_range_of_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    given = ["--task", "digits/mlp", "--budgets", "2.5..6", "--evaluations", "30", "--baselines"]
    assert search.main([*given, "uniform", "--out", str(out), "--no-progress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("Best within each limit of average bits, on the validation samples:") + 4
    front = [line.split() for line in lines[first : lines.index("", first)]]
    assert 3 <= len(front) <= 12
    assert all(float(row[1]) <= float(row[0]) <= 6.0 for row in front)
    losses = [[float(row[column]) for row in front if len(row) == 8] for column in (3, 6)]
    assert losses == [sorted(each, reverse=True) for each in losses]
    assert (out / "front.png").stat().st_size > 0
    settings = json.loads((out / "settings.json").read_text())
    assert settings["searcher"] == "dyna-ppo"
    assert settings["searcher_settings"]["lowest"] == 2.5
    assert settings["budget"]["limit"] == 6.0


def test_the_pretrained_agent_answers_after_one_evaluation(tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = ["--task", "digits/mlp", "--agent", "pretrained", "--evaluations", "1", "--baselines"]
    assert search.main([*given, "--out", str(out), "--no-progress"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["evaluations"] == 1
    assert result["score"]["average_bits"] <= 3.2
