"""What cannot be exported is said, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rlquant
from exported_networks import (
    configured,
)
from rlquant import LayerChoice, QuantizationConfig
from rlquant.errors import DataError, NetworkError, SettingsError, StorageError, UnknownNameError
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.runtime import open_session
from small_networks import fresh, samples_of, trained


def test_what_a_target_cannot_express_is_named_layer_by_layer(tmp_path: Path) -> None:
    network = trained("mlp")
    choices = (
        LayerChoice("first", 8, activation_bits=8),
        LayerChoice("second", 4, points="kmeans", activation_bits=8),
        LayerChoice("last", 8, activation_bits=4),
    )
    quantized = rlquant.quantize(
        network,
        QuantizationConfig(choices),
        calibration=samples_of("mlp", 64),
        calibration_samples=64,
    )
    with pytest.raises(NetworkError, match=r"cannot express 2 layers") as refused:
        export_onnx(
            quantized, samples_of("mlp", 4)[0], tmp_path / "m.onnx", target="onnxruntime-int8"
        )
    assert "'second': points='kmeans'" in str(refused.value)
    assert "'last': activation_bits=4" in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained("mlp")
    inputs, _ = samples_of("mlp", 4)
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    with pytest.raises(NetworkError, match="no layer of this Mlp is quantized"):
        export_onnx(network, inputs, tmp_path / "m.onnx")
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime-int8'"):
        export_onnx(quantized, inputs, tmp_path / "m.onnx", target="onnxruntime-int9")
    with pytest.raises(StorageError, match=r"m\.onnx"):
        export_onnx(quantized, inputs, tmp_path / "nowhere" / "m.onnx")
    double = rlquant.quantize(trained("mlp").double(), configured(network, {"bits": 4}))
    with pytest.raises(NetworkError, match="float32"):
        export_onnx(double, inputs.double(), tmp_path / "m.onnx")
    for wrong, said in (
        (torch.full((2, 6), torch.nan), "NaN or infinite"),
        (torch.empty(0, 6), r"shape \(0, 6\) is empty"),
        (None, "NoneType"),
        ((), r"example_input is \[\]"),
        (np.zeros((2, 6)), "ndarray"),
    ):
        with pytest.raises(DataError, match=said):
            export_onnx(quantized, wrong, tmp_path / "m.onnx")
    for given in (torch.rand(2, 7), torch.rand(2, 6).double(), (inputs, inputs)):
        with pytest.raises(NetworkError, match="this Mlp cannot run example_input of"):
            export_onnx(quantized, given, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=r"rlquant\[onnx\]"):
        export_onnx(quantized, inputs, tmp_path / "m.onnx")


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        result: Tensor = self.layer(inputs)
        return result if float(result.detach().sum()) > 0 else -result


def test_a_network_that_cannot_be_exported_says_why(tmp_path: Path) -> None:
    network = fresh(Branching).eval()
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    said = r"PyTorch cannot export this Branching to ONNX: .*data-dependent.*dynamic_batch=False"
    with pytest.raises(NetworkError, match=said):
        export_onnx(quantized, torch.rand(4, 6), tmp_path / "m.onnx")


def test_a_file_that_onnxruntime_cannot_run_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"onnxruntime 1\.\d+\.\d+ cannot run this file"):
        open_session(b"no file of ONNX")


def test_without_onnxruntime_a_file_is_written_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained("mlp")
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    written = export_onnx(quantized, samples_of("mlp", 4)[0], tmp_path / "m.onnx")
    assert written.error is None
    with pytest.raises(SettingsError, match=r"rlquant\[onnx\]"):
        open_session(written.path)
