"""Quantized weights on disk are the weights that were put there, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlquant import Budget, EvaluationSettings, LayerChoice, QuantizationProblem
from rlquant.evaluation import weight_folder
from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.evaluation.weight_folder import WeightFolder
from rlquant.network.weights import quantize_weight
from rlquant.problem import measuring
from rlquant.testing import toy_network
from rlquant_agents import search
from strategies import seeded

CHOICE = LayerChoice("layer", 4)


def weight(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(0))


@pytest.mark.parametrize("points", ["symmetric", "affine", "kmeans", "k_affine", "fixed_point"])
@pytest.mark.parametrize("bits", [2, 4])
def test_what_was_put_is_found_by_another_one(points: str, bits: int, tmp_path: Path) -> None:
    plain = weight(3, 256)
    choice = LayerChoice("layer", bits, points=points)  # type: ignore[arg-type]
    quantized = quantize_weight(plain, choice, seed=0)
    WeightFolder(tmp_path / "weights", "key").put(choice, PackedWeight.of(quantized))
    found = WeightFolder(tmp_path / "weights", "key").get(choice, plain)
    assert found is not None
    again = found.unpacked()
    assert torch.equal(again.codes, quantized.codes)
    assert torch.equal(again.dequantize(), quantized.dequantize())
    assert [t.dtype for t in again.numbers] == [t.dtype for t in quantized.numbers]


def test_another_choice_key_or_shape_is_not_there(tmp_path: Path) -> None:
    plain = weight(3, 8)
    folder = WeightFolder(tmp_path, "key")
    folder.put(CHOICE, PackedWeight.of(quantize_weight(plain, CHOICE, seed=0)))
    assert folder.get(LayerChoice("layer", 3), plain) is None
    assert WeightFolder(tmp_path, "other").get(CHOICE, plain) is None
    assert folder.get(CHOICE, plain[:2]) is None


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_file_counts_as_none(
    place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = weight(3, 8)
    folder = WeightFolder(tmp_path, "key")
    folder.put(CHOICE, PackedWeight.of(quantize_weight(plain, CHOICE, seed=0)))
    (path,) = (tmp_path / "key").iterdir()
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert folder.get(CHOICE, plain) is None
    assert "quantized again" in caplog.text


def test_a_run_folder_keeps_them_until_the_search_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[Path] = []

    def noted(path: Path, content: bytes) -> None:
        put.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(weight_folder, "write_file", noted)
    monkeypatch.setattr(measuring, "LEAST_BYTES", 0)
    network, data, validation = toy_network()
    budget = Budget.average_bits(8.0)
    search(network, data, validation, budget=budget, searcher="random", evaluations=2, out=tmp_path)
    assert put
    assert {path.parent.parent for path in put} == {tmp_path / "weights"}
    assert not (tmp_path / "weights").exists()


def test_the_key_is_of_what_weights_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "LEAST_BYTES", 0)
    network, data, validation = toy_network()

    def keys(validation_samples: int = 20, **settings: int) -> set[str]:
        folder = tmp_path / "all"
        before = set(folder.iterdir()) if folder.exists() else set()
        made = EvaluationSettings(
            weight_bank_folder=str(folder), validation_samples=validation_samples, **settings
        )
        problem = QuantizationProblem(
            network, data, validation, budget=Budget.average_bits(8.0), evaluation=made
        )
        problem.evaluate(problem.feasible.config([0] * len(problem.layers)))
        return {path.name for path in set(folder.iterdir()) - before}

    assert len(keys()) == 1
    assert not keys(validation_samples=10)
    assert len(keys(calibration_samples=7)) == 1
