"""`rlquant export`, and what a search says of the file that it exports."""

from __future__ import annotations

from pathlib import Path

from rlquant import LatencyTable, LayerChoice, OnnxExport, QuantizationConfig, quantize
from rlquant.samples import Samples
from rlquant_agents.cli.export import Exported, export_for
from small_networks import samples_of, trained

EXPORT = OnnxExport(Path("model.onnx"), 12_345, 21, {}, 0, 0.0123)


def test_a_limit_that_is_not_kept_is_said_loudly() -> None:
    over = Exported(EXPORT, 64, 0.002).text(0.001)
    assert over == (
        "model.onnx: 12,345 bytes for onnxruntime; its outputs differ from PyTorch's by at most "
        "1.2 % on 64 samples; it takes 2 ms a run, OVER the limit of 1 ms"
    )
    assert "within the limit" in Exported(EXPORT, 64, 0.002).text(0.003)
    assert "ms" not in Exported(EXPORT, 64).text()


def test_a_network_is_timed_where_its_budget_was_a_latency(tmp_path: Path) -> None:
    network, data = trained("mlp"), samples_of("mlp", 64)
    choices = tuple(LayerChoice(n, 8, activation_bits=8) for n in ("first", "second", "last"))
    quantized = quantize(
        network, QuantizationConfig(choices), calibration=data, calibration_samples=64
    )
    samples = Samples((data[0][:3],), data[1][:3])
    how = ("onnxruntime-int8", quantized, samples, tmp_path / "m.onnx", data)
    assert export_for(*how).seconds is None
    timed = export_for(*how, LatencyTable({}, batch=5)).seconds
    assert timed is not None
    assert 0 < timed < 1
