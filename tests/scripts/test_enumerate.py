"""scripts/enumerate.py and scripts/measure_racing.py, the real ones, tiny."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.space import SearchSpace
from rlquant.tabular.enumeration import Enumeration
from rlquant.tabular.table_file import read_table
from rlquant_agents.choice_words import with_choices

SCRIPTS = Path(__file__).parents[2] / "scripts"
TINY = ["--task", "digits/mlp", "--choices", "2", "4", "kmeans", "clipped"]


def script(name: str) -> ModuleType:
    """Load a script by its path: "enumerate" alone would be the built-in function's name."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_it_writes_a_table_of_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "t.rlt"
    assert script("enumerate").main([*TINY, "--out", str(out), "--name", "tiny"]) == 0
    said = capsys.readouterr().out
    assert "3 groups with 4 options each, 64 configurations" in said
    table = read_table(out)
    assert (table.name, table.count, table.task) == ("tiny", 64, "digits/mlp")
    assert table.command.startswith("python scripts/enumerate.py --task digits/mlp --choices 2 4")
    assert TabularProblem(table, Budget.average_bits(4)).optimum()[1].loss < 0.5
    assert list(out.parent.iterdir()) == [out]
    again = tmp_path / "new" / "again.rlt"
    assert script("enumerate").main([*TINY, "--out", str(out), "--name", "tiny"]) == 0
    again.write_bytes(out.read_bytes())
    assert again.read_bytes() == out.read_bytes()


def test_layers_may_share_a_choice(tmp_path: Path) -> None:
    out = tmp_path / "t.rlt"
    groups = ["--layers", "hidden*", "classifier"]
    assert script("enumerate").main([*TINY, *groups, "--out", str(out)]) == 0
    assert read_table(out).groups == {
        "hidden": ("hidden1", "hidden2"),
        "classifier": ("classifier",),
    }


def test_it_goes_on_after_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "t.rlt"
    append = Enumeration._append

    def interrupted(self: Enumeration, stream: object, done: int, progress: object) -> None:
        def stop(number: int) -> None:
            if number == 10:
                raise KeyboardInterrupt

        append(self, stream, done, stop)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Enumeration, "_append", interrupted)
        assert script("enumerate").main([*TINY, "--out", str(out)]) == 130
    assert "goes on from" in capsys.readouterr().err
    assert not out.exists()
    assert out.with_suffix(".partial").exists()
    assert script("enumerate").main([*TINY, "--out", str(out)]) == 0
    assert read_table(out).measured.losses.shape == (64,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--choices", "sometimes"], "choice 'sometimes' means nothing"),
        (["--choices", "learned"], "choice 'learned' may be rounding=learned or points=learned"),
        (["--task", "digits/mpl"], "did you mean 'digits/mlp'"),
        (["--task", "digits/mlp", "--layers", "hidden*"], "classifier in no group"),
        (["--quantity", "bops"], "--quantity plays no part here"),
        (["--task", "digits/resnet56"], "more than 10,000,000"),
    ],
)
def test_wrong_input_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, tmp_path: Path
) -> None:
    if "resnet56" in arguments[-1]:
        arguments = ["--task", "digits/mlp", "--bits", *map(str, range(1, 17)), "--points"]
        arguments += ["symmetric", "clipped", "uniform", "fixed_point", "--rounding", "nearest"]
        arguments += ["stochastic", "error_feedback", "learned"]
    assert script("enumerate").main([*arguments, "--out", str(tmp_path / "t.rlt")]) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert words in error


def test_words_say_which_decision_they_mean() -> None:
    space = with_choices(SearchSpace(), ["2", "3", "ternary", "points=learned", "stochastic"])
    assert space.bits == (2, 3)
    assert space.method == ("ternary",)
    assert space.points == ("learned",)
    assert space.rounding == ("stochastic",)
    assert with_choices(SearchSpace(), []) == SearchSpace()
    with pytest.raises(SettingsError, match="means nothing"):
        with_choices(SearchSpace(), ["points=stochastic"])


def test_tables_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "docs" / "tables.md"
    names = ["digits-mlp", "digits-mlp-tuned"]
    assert script("describe_tables").main(["--tables", *names, "--report", str(report)]) == 0
    text = report.read_text()
    assert "**digits-mlp**: digits/mlp, calibrated, 3 groups with 15 options each" in text
    assert "kmeans" in text
    assert "distilled" in text
    assert "python scripts/describe_tables.py --tables digits-mlp" in text
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert script("describe_tables").main(["--tables", "digits-mpl"]) == 2
    assert "did you mean 'digits-mlp'" in capsys.readouterr().err


def test_what_racing_saves_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "docs" / "racing.md"
    arguments = ["--task", "digits/mlp", "--searcher", "random", "--evaluations", "12"]
    arguments += ["--seeds", "2", "--report", str(report)]
    assert script("measure_racing").main(arguments) == 0
    text = report.read_text()
    assert "Racing: random on digits/mlp" in text
    assert text.count("\n| ") == 3
    assert "would have beaten their rival" in capsys.readouterr().out
    assert script("measure_racing").main(["--seeds", "0"]) == 2
