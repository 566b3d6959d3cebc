"""From a GGUF file and texts to a GGUF file of the size that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rlquant
from gguf_models import save_model, tiny_network
from rlquant import LayerChoice, QuantizationConfig
from rlquant.gguf.container import GgufFile
from rlquant.gguf.memory import memory_beside_file
from rlquant_agents.cli import export, search
from tiny_models import text_of

pytest.importorskip("gguf")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A GGUF file of a tied network, and a text."""
    (tmp_path / "text.txt").write_text(text_of(4000))
    source = save_model(tmp_path / "source", tied=True)
    choice = LayerChoice("model.layers.0.mlp.up_proj", 8, points="clipped", group_size=32)
    network = rlquant.quantize(tiny_network(tied=True), QuantizationConfig((choice,)))
    return rlquant.export_gguf(network, tmp_path / "float.gguf", source=source).path


def command(model: Path, *more: str) -> list[str]:
    return [
        *(str(model), "--text", str(model.with_name("text.txt"))),
        *("--target", "gguf", "--quantity", "size_bytes", "--evaluations", "8"),
        *("--validation-samples", "4", "--calibration-samples", "4", "--no-progress", *more),
    ]


def test_a_file_within_the_size_is_written_with_its_card(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = model.with_name("run"), model.with_name("out.gguf")
    memory = memory_beside_file(tiny_network(tied=True), 64) + 75_000
    size = ("--fits", f"{memory / 1000} KB", "--context", "64")
    size = (*size, "--searcher", "knapsack", "--baselines", "uniform")
    written = model.with_name("small.gguf")
    given = command(model, *size, "--out", str(run), "-o", str(written))
    assert search.main(given) == 0
    assert not (run / "model.gguf").exists()
    result = json.loads((run / "result.json").read_text())
    assert written.stat().st_size == result["score"]["size_bytes"] <= 75000
    said = capsys.readouterr()
    assert "small.gguf: " in said.out
    assert "as its score says" not in said.err
    card = written.with_name("README.md").read_text()
    for words in ("base_model: gguf:", "llama-server -m small.gguf", f"rlquant search {model}"):
        assert words in card
    for words in ("| float |", "| uniform |", "| knapsack |", "KL 99.9 %", "perplexity"):
        assert words in card
    assert "token_embd.weight" in GgufFile.open(written).tensors
    (run.parent / "README.md").write_text("mine")
    assert export.main([str(run), "--target", "gguf", "--out", str(out)]) == 0
    assert out.read_bytes() == written.read_bytes()
    assert (run.parent / "README.md").read_text() == "mine"
    assert "| this file |" in out.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--target", "gguf"), "give --export-source"),
        (("--size", "5MB", "--quantity", "bops"), "--size cannot be combined with --budgets,"),
        (("--size", "5 potatoes"), "file size '5 potatoes': give a number of bytes"),
        (
            ("--size", "5MB", "--fits", "5GB"),
            "--size cannot be combined with --budgets",
        ),
        (("--fits", "5GB"), "--fits says what llama.cpp runs in: give --target gguf"),
        (("--fits", "5GB", "--budgets", "2..3"), "--fits cannot be combined with"),
        (("--fits", "5GB", "--target", "gguf", "--context", "0"), "--context"),
        (("--fits", "much", "--target", "gguf"), "file size 'much'"),
        (("-o", "nowhere/m.rlq"), "--output nowhere/m.rlq: there is no folder nowhere"),
        (("-o", "."), "--output . is a folder; name a file in it"),
        (("--export-source", "x"), "--export-source belongs to --target gguf"),
        (("--target", "gguf", "--export-source", "x", "--bits", "7"), "bits=(7,) has nothing"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    given: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert search.main(["--task", "digits/mlp", *given, "--out", str(tmp_path / "run")]) == 1
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_gguf_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text(text_of(4000))
    (tmp_path / "m.gguf").write_bytes(b"<html>no</html>" * 9)
    given = command(tmp_path / "m.gguf", "--budget", "75000", "--out", str(tmp_path / "run"))
    assert search.main(given) == 1
    said = capsys.readouterr().err
    assert "it is no GGUF file" in " ".join(said.split())
    assert "Traceback" not in said
