"""Rows of the page on GGUF files, on a tiny language model; llama.cpp itself where it is given."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import rlquant
from gguf_models import save_model, tiny_network
from rlquant import Distillation, LayerChoice, NextToken, QuantizationConfig
from rlquant.errors import DataError
from rlquant.gguf.container import GgufFile
from rlquant.gguf.ggml_types import TYPES
from rlquant.tasks import Task
from rlquant_experiments.targets import measuring
from rlquant_experiments.targets.float_weights import write_in_floats
from rlquant_experiments.targets.llama_cpp import Libraries
from rlquant_experiments.targets.measuring import Lab, kept_rows, measure_rows
from rlquant_experiments.targets.page import write_page
from rlquant_experiments.targets.rows import BITS, NEAREST, SEARCHED, THEIRS_BY_IMPORTANCE, Row
from rlquant_experiments.targets.settings import TargetsSettings
from strategies import seeded

pytest.importorskip("gguf")
pytest.importorskip("transformers")
LIBRARIES = os.environ.get("LLAMA_CPP_LIBRARIES", "")
"""Folder of llama.cpp's libraries, as the package @node-llama-cpp/linux-x64 of npm has it."""
needs_llama_cpp = pytest.mark.skipif(not LIBRARIES, reason="LLAMA_CPP_LIBRARIES names no folder")


def tokens(count: int, seed: int) -> Any:
    return {"input_ids": torch.randint(300, (count, 24), generator=seeded(seed))}


def lab_of(folder: Path, settings: TargetsSettings) -> Lab:
    task = Task(
        "tiny",
        tiny_network(),
        **{name: tokens(6, seed) for seed, name in enumerate(("train", "validation", "test"))},
        objective=Distillation("kl"),
        metric=NextToken(),
    )
    return Lab(task, save_model(folder / "source"), settings)


def settings_of(folder: Path, **fields: Any) -> TargetsSettings:
    counts = {
        "calibration": 6,
        "validation": 4,
        "test": 4,
        "seeds": 1,
        "evaluations": 3,
        "bits": (),
    }
    fields = {"recipes": ("Q2_K",), "searcher": "random", **counts, **fields}
    return TargetsSettings(out=folder, **fields)


def test_rows_are_measured_once_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path)
    settings.check()
    rows = dict(measure_rows(lab_of(tmp_path, settings), settings))
    nearest, searched = rows[Row("Q2_K", NEAREST)], rows[Row("Q2_K", SEARCHED)]
    assert nearest.bytes == nearest.promised >= searched.bytes == searched.promised
    assert nearest.types == "15 Q4_0, 5 F32, 1 Q8_0"
    assert all(found.kl >= 0 for found in rows.values())
    page = write_page(settings, rows, ["targets.py"])
    assert f"| rlquant, searched, seed 0 | {searched.promised:,} |" in page
    assert "of llama.cpp's" in page
    assert (tmp_path / "targets.png").stat().st_size > 1000
    assert kept_rows(settings) == rows
    elsewhere = replace(settings, out=tmp_path / "elsewhere", report=tmp_path / "targets.md")
    assert kept_rows(elsewhere) == rows  # those beside the page

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    again = lab_of(tmp_path, settings)
    monkeypatch.setattr(again, "figures", never)
    assert dict(measure_rows(again, settings)) == rows
    with pytest.raises(AssertionError, match="measured again"):
        dict(measure_rows(again, replace(settings, calibration=5)))


def test_an_interrupted_search_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path)
    lab = lab_of(tmp_path, settings)
    ended = SimpleNamespace(stopped="interrupted", best=None)
    monkeypatch.setattr(measuring, "search_problem", lambda *_, **__: ended)
    with pytest.raises(KeyboardInterrupt):
        lab.figures(Row("Q2_K", SEARCHED))


def test_a_file_in_floats_has_the_same_weights(tmp_path: Path) -> None:
    source, choice = save_model(tmp_path / "source"), LayerChoice("", 4, points="iq4_nl")
    network = tiny_network()
    layers = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)]
    config = QuantizationConfig.uniform(replace(choice, group_size=32), layers)
    file = tmp_path / "model.gguf"
    rlquant.export_gguf(rlquant.quantize(network, config), file, source=source)
    write_in_floats(file, tmp_path / "floats.gguf")
    ours, theirs = (GgufFile.open(path) for path in (file, tmp_path / "floats.gguf"))
    assert {info.type_number for info in theirs.tensors.values()} == {TYPES["F32"].number}
    for name in ours.tensors:
        assert (ours.floats(name) == theirs.floats(name)).all(), name


@pytest.mark.filterwarnings("ignore")  # of the other tools, while they load
def test_blocks_are_measured_in_their_runtimes(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    lab = lab_of(tmp_path, settings_of(tmp_path))
    folder, file, theirs = (lab.figures(Row("4 bits", way)) for way in BITS)
    assert folder.bytes == folder.promised
    assert folder.runtime_kl == 0
    assert file.runtime_kl == pytest.approx(0, abs=1e-6)
    assert file.of_theirs is not None
    assert file.kl < 1.5 * theirs.kl


def test_a_folder_without_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no libggml-base\.so"):
        Libraries(tmp_path)


@needs_llama_cpp
def test_llama_cpp_computes_of_every_type_what_was_evaluated(tmp_path: Path) -> None:
    """Up to its rounding of inputs to 8 bits; of Q8_0 and floats nothing else is lost."""
    libraries, source = Libraries(Path(LIBRARIES)), save_model(tmp_path / "source")
    sequence = tokens(1, 3)["input_ids"]
    for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"):
        own = TYPES[name]
        choice = LayerChoice("", own.bits, points=own.points[0], group_size=own.group)
        network = tiny_network()
        layers = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)]
        quantized = rlquant.quantize(network, QuantizationConfig.uniform(choice, layers))
        path = rlquant.export_gguf(quantized, tmp_path / "model.gguf", source=source).path
        with libraries.model(path) as model:
            theirs = torch.from_numpy(model.logits(sequence[0].numpy()))
        with torch.no_grad():
            ours = quantized(sequence).logits[0].log_softmax(dim=1)
        divergence = (ours.exp() * (ours - theirs.log_softmax(dim=1))).sum(dim=1)
        assert float(divergence.mean()) < 1e-3, name


@needs_llama_cpp
@pytest.mark.parametrize("name", ["Q4_0", "Q5_0", "IQ4_NL", "MXFP4", "Q3_K", "Q4_K", "Q6_K"])
def test_weights_have_less_error_than_by_llama_cpps_encoder(name: str) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    from rlquant.network.weights import quantize_weight

    own = TYPES[name]
    weight = torch.randn(32, 512, generator=seeded(0))
    counts = torch.rand(512, generator=seeded(1)).square()
    data = Libraries(Path(LIBRARIES)).encode(
        weight.numpy(), own.number, own.bytes_of(512), counts.numpy()
    )
    theirs = torch.from_numpy(np.array(dequantize(data, GGMLQuantizationType[name])))
    choice = LayerChoice("fc", own.bits, points=own.points[0], group_size=own.group)
    ours = quantize_weight(weight, choice, moments=lambda: {"fc": torch.diag(counts)[None]})
    errors = [((w - weight).square() * counts).sum() for w in (ours.dequantize(), theirs)]
    assert errors[0] < errors[1]


@needs_llama_cpp
def test_rows_of_llama_cpp_are_measured(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, llama_cpp=Path(LIBRARIES), searcher="")
    rows = dict(measure_rows(lab_of(tmp_path, settings), settings))
    theirs, ours = rows[Row("Q2_K", THEIRS_BY_IMPORTANCE)], rows[Row("Q2_K", NEAREST)]
    assert theirs.types == "15 Q4_0, 1 Q8_0"
    assert ours.runtime_kl is not None
    assert ours.runtime_kl < 1e-3
    assert ours.float_runtime_kl is not None
    assert ours.float_runtime_kl < 1e-6
    assert ours.token_seconds is not None
