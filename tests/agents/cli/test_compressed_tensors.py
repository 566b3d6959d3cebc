"""From a folder of transformers and texts to a folder of compressed-tensors of a size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gguf_models import save_model
from rlquant_agents.cli import search
from tiny_models import text_of

transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")
pytestmark = [
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.filterwarnings("ignore"),  # of the other tools, while they load
]


def test_a_folder_within_the_size_is_written_with_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, run = save_model(tmp_path / "model"), tmp_path / "run"
    (tmp_path / "text.txt").write_text(text_of(2500))
    given = [
        *("--model", f"transformers:{model}", "--text", str(tmp_path / "text.txt")),
        *("--target", "compressed-tensors", "--size", "220kB"),
        *("--validation-samples", "4", "--calibration-samples", "4", "--no-progress"),
        *("--searcher", "random", "--baselines", "--evaluations", "2", "--bits", "4", "8"),
        *("--group-size", "32", "--rounding", "nearest", "--out", str(run)),
    ]
    assert search.main(given) == 0
    written = run / "compressed-tensors"
    size = (written / "model.safetensors").stat().st_size
    assert size == json.loads((run / "result.json").read_text())["score"]["size_bytes"] <= 220000
    assert "for vLLM and transformers" in capsys.readouterr().out
    card = (written / "README.md").read_text()
    for words in ("vllm serve .", "A16", "| random |", "KL 99.9 %", "rlquant search --model"):
        assert words in card
    loaded = transformers.AutoModelForCausalLM.from_pretrained(written)
    tokens = transformers.AutoTokenizer.from_pretrained(written)("the a", return_tensors="pt")
    with torch.no_grad():
        assert torch.isfinite(loaded(tokens["input_ids"]).logits).all()
