"""Importance matrices in files that the package gguf writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gguf_models import tiny_network
from rlquant import (
    Budget,
    Distillation,
    EvaluationSettings,
    LayerFacts,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.errors import FileFormatError, NetworkError, SettingsError, StorageError
from rlquant.gguf.imatrix import read_imatrix
from rlquant.network.weights import quantize_weight
from rlquant.problem.checks import require_imatrix
from strategies import seeded

gguf = pytest.importorskip("gguf")
pytest.importorskip("transformers")

DATA = {"input_ids": torch.randint(300, (12, 16), generator=seeded(0))}
VALIDATION = {"input_ids": torch.randint(300, (6, 16), generator=seeded(1))}
SPACE = SearchSpace(bits=(2, 4), group_size=(32,), exclude=("lm_head", "model.embed_tokens"))
UP, DOWN = "model.layers.0.mlp.up_proj", "model.layers.1.mlp.down_proj"


def write(path: Path, sums: dict[str, np.ndarray[Any, Any]], count: float = 4.0) -> Path:
    """Write a file as `llama-imatrix` does."""
    writer = gguf.GGUFWriter(str(path), arch="")
    writer.add_type("imatrix")
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values.astype(np.float32)[None])
        writer.add_tensor(f"{name}.counts", np.full((1, 1), count, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def imatrix(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    sums = {"blk.0.ffn_up.weight": draws.random(64) ** 8, "blk.1.ffn_down.weight": np.ones(128)}
    return write(tmp_path / "imatrix.gguf", sums)


def problem_of(imatrix: Path | None, **settings: Any) -> QuantizationProblem:
    given = {"space": SPACE, "budget": Budget.average_bits(8.0), **settings}
    return QuantizationProblem(
        tiny_network(),
        DATA,
        VALIDATION,
        objective=Distillation("kl"),
        evaluation=EvaluationSettings(imatrix=None if imatrix is None else str(imatrix)),
        **given,
    )


def test_weights_are_quantized_by_what_the_file_says(imatrix: Path) -> None:
    problem = problem_of(imatrix)
    config = problem.feasible.config([0] * len(problem.feasible.names))
    built = problem.build(config)
    network = tiny_network()
    read = read_imatrix(imatrix, network, problem.layers)
    assert sorted(read) == [UP, DOWN]
    assert torch.equal(read[DOWN], torch.full((1, 128), 0.25))
    matrix = torch.diag(read[UP][0])[None]
    choice = next(choice for choice in config if choice.layer == UP)
    weight = network.get_submodule(UP).weight.detach()
    expected = quantize_weight(weight, choice, moments=lambda: {UP: matrix}).dequantize()
    assert torch.equal(built.get_submodule(UP).weight, expected)
    alike = quantize_weight(weight, choice, moments=lambda: {UP: torch.eye(64)[None]}).dequantize()
    assert not torch.equal(alike, expected)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"blk.0.ffn_up.weight": np.ones(32)}, NetworkError, "has 32 inputs there"),
        ({"blk.7.ffn_up.weight": np.ones(64)}, NetworkError, "importances of none of the"),
        ({"blk.0.ffn_up.weight": -np.ones(64)}, FileFormatError, "that cannot be"),
        ({"blk.0.ffn_up.weight": np.full(64, np.nan)}, FileFormatError, "that cannot be"),
    ],
)
def test_a_file_of_something_else_is_refused(
    change: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    layers = [LayerFacts(UP, "linear", (128, 64), 128 * 64, 128 * 64)]
    with pytest.raises(error, match=words):
        read_imatrix(write(tmp_path / "i.gguf", change), tiny_network(), layers)


def test_sums_over_next_to_no_tokens_are_refused(tmp_path: Path) -> None:
    layers = [LayerFacts(UP, "linear", (128, 64), 128 * 64, 128 * 64)]
    path = write(tmp_path / "i.gguf", {"blk.0.ffn_up.weight": np.ones(64)}, count=1e-42)
    with pytest.raises(FileFormatError, match="that cannot be"):
        read_imatrix(path, tiny_network(), layers)


def test_mistakes_are_named_before_anything_is_measured(imatrix: Path, tmp_path: Path) -> None:
    layers = [LayerFacts(UP, "linear", (128, 64), 128 * 64, 128 * 64)]

    def require(path: Path, space: SearchSpace = SPACE, fidelity: Any = "calibrated") -> None:
        evaluation = EvaluationSettings(imatrix=str(path))
        require_imatrix(tiny_network(), layers, space, evaluation, fidelity)

    require(imatrix)
    with pytest.raises(SettingsError, match="leave out either of them"):
        problem_of(imatrix, space=replace(SPACE, rounding=("gptq",)))
    for more in ({"space": SearchSpace(rounding=("gptq",))}, {"fidelity": "tuned"}):
        with pytest.raises(SettingsError, match="leave out either of them"):
            require(imatrix, **more)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match=r"none\.gguf"):
        require(tmp_path / "none.gguf")
    imatrix.write_bytes(b"\x01\x00\x00\x00" * 9)  # the older form
    with pytest.raises(FileFormatError, match="it is no GGUF file"):
        require(imatrix)
