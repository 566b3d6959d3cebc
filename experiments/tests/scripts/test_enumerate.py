"""scripts/enumerate.py and scripts/describe_tables.py, the real ones, tiny."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from problems import counting
from rlquant import Budget, TabularProblem
from rlquant.tabular.table_file import read_table
from rlquant_experiments.commands import describe_tables
from rlquant_experiments.commands import enumerate as enumerate_table
from rlquant_experiments.tables.enumeration import Enumeration

MANY = ["--bits", *map(str, range(1, 17)), "--points", "symmetric", "clipped", "affine"]
MANY += ["fixed_point", "kmeans", "quantile", "--rounding", "nearest", "stochastic"]
MANY += ["gptq", "learned"]
TINY = ["--task", "digits/mlp", "--choices", "2", "4", "kmeans", "clipped"]


def test_it_writes_a_table_of_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "t.rlt"
    assert enumerate_table.main([*TINY, "--out", str(out), "--name", "tiny"]) == 0
    said = capsys.readouterr().out
    assert "3 groups with 4 options each, 64 configurations" in said
    table = read_table(out)
    assert (table.name, table.count, table.task) == ("tiny", 64, "digits/mlp")
    assert table.command.startswith("python scripts/enumerate.py --task digits/mlp --choices 2 4")
    assert TabularProblem(table, Budget.average_bits(4)).optimum()[1].loss < 0.5
    assert list(out.parent.iterdir()) == [out]
    first = out.read_bytes()
    out.unlink()
    assert enumerate_table.main([*TINY, "--out", str(out), "--name", "tiny"]) == 0
    assert out.read_bytes() == first


def test_layers_may_share_a_choice(tmp_path: Path) -> None:
    """Layers that share one have the scores of layers that happen to have the same."""
    single, shared = tmp_path / "single.rlt", tmp_path / "shared.rlt"
    groups = ["--layers", "hidden*", "classifier"]
    assert enumerate_table.main([*TINY, "--out", str(single)]) == 0
    assert enumerate_table.main([*TINY, *groups, "--out", str(shared)]) == 0
    alone, table = read_table(single), read_table(shared)
    assert table.groups == {"hidden": ("hidden1", "hidden2"), "classifier": ("classifier",)}
    assert table.name == "digits-mlp"
    assert "--layers 'hidden*' classifier" in table.command
    assert table.fingerprint != alone.fingerprint
    for hidden, last in itertools.product(range(4), repeat=2):
        of_groups = table.index_of((hidden, last))
        of_layers = alone.index_of((hidden, hidden, last))
        for values in ("losses", "correct"):
            found, expected = getattr(table.measured, values), getattr(alone.measured, values)
            assert found[of_groups] == expected[of_layers]


def test_it_goes_on_after_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "t.rlt", tmp_path / "whole" / "t.rlt"
    append = Enumeration._append

    def interrupted(self: Enumeration, stream: object, done: int, progress: object) -> None:
        def stop(number: int) -> None:
            if number == 10:
                raise KeyboardInterrupt

        append(self, stream, done, stop)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Enumeration, "_append", interrupted)
        assert enumerate_table.main([*TINY, "--out", str(out)]) == 130
    assert "goes on from" in capsys.readouterr().err
    assert not out.exists()
    assert out.with_suffix(".partial").exists()
    with counting() as measured:
        assert enumerate_table.main([*TINY, "--out", str(out)]) == 0
    assert measured.call_count == 64 - 10
    assert enumerate_table.main([*TINY, "--out", str(whole)]) == 0
    for values in ("losses", "correct"):
        found, expected = (getattr(read_table(p).measured, values) for p in (out, whole))
        assert np.array_equal(found, expected)
    assert list(tmp_path.iterdir()) in ([out, whole.parent], [whole.parent, out])


def test_what_another_command_began_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = tmp_path / "t.partial"
    partial.write_bytes(b"something else\n")
    assert enumerate_table.main([*TINY, "--out", str(tmp_path / "t.rlt")]) == 1
    assert "was begun for another problem or space; move it away" in capsys.readouterr().err
    assert partial.read_bytes() == b"something else\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--choices", "sometimes"], "choice 'sometimes' means nothing"),
        (["--choices", "learned"], "choice 'learned' may be rounding=learned or points=learned"),
        (["--task", "digits/mpl"], "did you mean 'digits/mlp'"),
        (["--task", "digits/mlp", "--layers", "hidden*"], "classifier in no group"),
        (["--quantity", "bops"], "--quantity plays no part here"),
        (["--task", "digits/mlp", *MANY], "320 options in 3 groups are more than 10,000,000"),
    ],
)
def test_wrong_input_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, tmp_path: Path
) -> None:
    assert enumerate_table.main([*arguments, "--out", str(tmp_path / "t.rlt")]) == 1
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert words in error


def test_tables_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "docs" / "tables.md"
    names = ["digits-mlp", "digits-mlp-tuned"]
    assert describe_tables.main(["--tables", *names, "--report", str(report)]) == 0
    text = report.read_text()
    assert "**digits-mlp**: digits/mlp, calibrated, 3 groups with 15 options each" in text
    assert "![exact fronts of loss and average bits](tables.png)" in text
    assert "kmeans" in text
    assert "distilled" in text
    assert "python scripts/describe_tables.py --tables digits-mlp" in text
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert describe_tables.main(["--tables", "digits-mpl"]) == 1
    assert "did you mean 'digits-mlp'" in capsys.readouterr().err
