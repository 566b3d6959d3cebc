"""The files of targets: onnxruntime makes the kernels of them that they were written for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import rlquant
from exported_networks import (
    MIXED,
    configured,
    difference,
    in_8_bits,
    optimized,
    outputs,
    ran,
)
from rlquant.errors import DataError
from rlquant.export.onnx.exporter import export_onnx
from small_networks import fresh, samples_of, trained

PROCESSOR = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
exact_sums = pytest.mark.skipif(
    "avx2" in PROCESSOR and "vnni" not in PROCESSOR,
    reason="onnxruntime's sums of 8-bit products saturate at 16 bits on AVX2 without VNNI",
)
"""For figures of 8-bit kernels, which other processors sum exactly."""


@exact_sums
def test_the_8_bit_target_runs_whole_stretches_in_integers(tmp_path: Path) -> None:
    network = trained("conv")
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data[0] *= -1  # a negative scale
            norm.weight.data[1] = 0.0  # no scale at all
    data = samples_of("conv", 256)
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 8}, {"bits": 3}, activation_bits=8),
        calibration=data,
        calibration_samples=256,
    )
    inputs, labels = samples_of("conv", 400, seed=3)
    written = export_onnx(
        quantized, inputs, tmp_path / "m.onnx", target="onnxruntime-int8", calibration=data
    )
    assert written.quantized_between >= 2  # both ends of the sum
    found, wanted = ran(written, inputs), outputs(quantized, inputs)
    assert difference(found, wanted) < 0.1
    loss = nn.functional.cross_entropy(torch.tensor(found), labels)
    exact = nn.functional.cross_entropy(torch.tensor(wanted), labels)
    assert float(loss) == pytest.approx(float(exact), rel=0.02)
    kernels = optimized(written.path, tmp_path)
    assert kernels["QLinearConv"] == 4
    assert kernels["QLinearAdd"] == 1
    assert not {"Conv", "FusedConv", "BatchNormalization"} & set(kernels)


def test_float_inputs_leave_no_work_to_the_runs(tmp_path: Path) -> None:
    network = trained("conv")
    quantized = rlquant.quantize(
        network,
        configured(network, *MIXED),
        calibration=samples_of("conv", 64),
        calibration_samples=64,
    )
    written = export_onnx(quantized, samples_of("conv", 4)[0], tmp_path / "m.onnx")
    assert not {"Cast", "Gather", "DequantizeLinear"} & set(optimized(written.path, tmp_path))


def test_linear_layers_run_in_4_bit_kernels(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32, bias=False)).eval()
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}, {"bits": 2}))
    for inputs in (torch.rand(9, 64), torch.rand(9, 5, 64)):
        written = export_onnx(quantized, inputs, tmp_path / "m.onnx", target="onnxruntime-int4")
        assert written.error is not None
        assert written.error < 0.02  # the kernel rounds its inputs to 8 bits
        assert optimized(written.path, tmp_path)["MatMulNBits"] == 2
        assert set(written.layers.values()) == {"int4, a 4-bit kernel; float inputs"}


def test_other_layers_run_as_float_for_that_target(tmp_path: Path) -> None:
    for name in ("conv", "words"):
        network = trained(name)
        data = samples_of(name, 64)
        quantized = rlquant.quantize(
            network, configured(network, {"bits": 4}), calibration=data, calibration_samples=64
        )
        written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target="onnxruntime-int4")
        assert "DequantizeLinear" not in optimized(written.path, tmp_path)
        assert "int4 x scale; float inputs" in written.layers.values()


@exact_sums
def test_linear_layers_run_in_8_bit_kernels(tmp_path: Path) -> None:
    quantized, data = in_8_bits("mlp")
    for target in (None, "onnxruntime-int8"):
        written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target=target)
        kernels = optimized(written.path, tmp_path)
        assert kernels["QGemm"] == 3
        assert not {"Gemm", "MatMul"} & set(kernels)
        assert written.quantized_between == 0
        assert written.error is not None
        assert written.error < 0.01


GAINS = (1e-5, 1e-12, 1e-42, 0.0)


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.Flatten(1),
        nn.Linear(32, 3),
    )


@exact_sums
@pytest.mark.parametrize("target", [None, "onnxruntime-int8"])
@pytest.mark.parametrize("where", ["norm", "filter"])
def test_channels_that_give_their_bias_alone_keep_it(
    target: str | None, where: str, tmp_path: Path
) -> None:
    network = fresh(convolutions).eval()
    for channel, gain in enumerate(GAINS):
        if where == "norm":
            network[1].weight.data[channel] = gain
            network[1].bias.data[channel] = 8.0
        else:
            network[3].weight.data[channel] *= gain
            network[3].bias.data[channel] = 8.0
    images = torch.rand(64, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    data = (255 * images, torch.zeros(64, dtype=torch.long))
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 8, "activation_bits": 8}),
        calibration=data,
        calibration_samples=64,
    )
    written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target=target, calibration=None)
    assert written.error is not None
    assert written.error < 0.02  # without one of the biases 0.13 and more


@exact_sums
def test_transposed_convolutions_have_no_kernel_and_stay_exact(tmp_path: Path) -> None:
    quantized, data = in_8_bits("transposed")
    written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target="onnxruntime-int8")
    assert written.error is not None
    assert written.error < 0.01


def test_a_fixed_batch_is_calibrated_in_batches_of_its_size(tmp_path: Path) -> None:
    quantized, data = in_8_bits("conv")
    how = {"target": "onnxruntime-int8", "calibration": data, "dynamic_batch": False}
    assert export_onnx(quantized, data[0][:5], tmp_path / "m.onnx", **how).quantized_between
    other = (torch.rand(64, 2, 8, 8), data[1])
    with pytest.raises(DataError, match=r"calibration has inputs of .*\(2, 8, 8\)"):
        export_onnx(
            quantized,
            data[0][:5],
            tmp_path / "m.onnx",
            target="onnxruntime-int8",
            calibration=other,
        )
