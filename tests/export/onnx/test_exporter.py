"""ONNX files compute what the PyTorch network computes, and their weights are packed integers."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.choices import BucketSize
from rlquant.errors import DataError, NetworkError, SettingsError, StorageError, UnknownNameError
from rlquant.export.onnx.exporter import OnnxExport, export_onnx
from rlquant.export.onnx.runtime import open_session, run_session
from rlquant.layers import layer_kind
from rlquant.targets import INT8
from rlquant.tasks.networks import NETWORKS as TASK_NETWORKS
from small_networks import NETWORKS, TwoInputsNet, fresh, samples_of, trained

SUMS = 1e-5
"""Share of the largest output by which sums in another order may differ."""
MIXED = (
    {"bits": 2},
    {"bits": 3, "points": "kmeans"},
    {"bits": 8},
    {"bits": 4, "points": "uniform"},
    {"bits": 4, "method": "ternary"},
    {"bits": 12},
    {"bits": 5, "points": "fixed_point"},
    {"bits": 32, "method": "keep"},
    {"bits": 11, "points": "uniform"},
)


def configured(network: nn.Module, *choices: dict[str, Any], **every: Any) -> QuantizationConfig:
    """Give the layers the choices in turn."""
    names = [name for name, module in network.named_modules() if layer_kind(module)]
    return QuantizationConfig(
        tuple(LayerChoice(n, **choices[i % len(choices)], **every) for i, n in enumerate(names))
    )


def outputs(network: nn.Module, inputs: Tensor) -> npt.NDArray[Any]:
    with torch.no_grad():
        values: npt.NDArray[Any] = network(inputs).numpy()
    return values


def ran(written: OnnxExport, *inputs: Tensor) -> npt.NDArray[Any]:
    return run_session(open_session(written.path), inputs)[0]


def difference(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(
    ("name", "bucket_size"),
    [*((name, "channel") for name in sorted(NETWORKS)), ("conv", None), ("conv", 7)],
)
def test_weights_of_every_kind_compute_the_same(
    name: str, bucket_size: BucketSize, tmp_path: Path
) -> None:
    network = trained(name)
    config = configured(network, *MIXED)
    quantized = rlquant.quantize(
        network,
        config,
        calibration=samples_of(name, 64),
        calibration_samples=64,
        bucket_size=bucket_size,
    )
    inputs, _ = samples_of(name, 20, seed=3)
    written = rlquant.export_onnx(quantized, inputs, tmp_path / "model.onnx")
    assert written.error is not None
    assert written.error < SUMS
    assert written.bytes == written.path.stat().st_size
    more, _ = samples_of(name, 33, seed=4)  # the batch is open
    assert difference(ran(written, more), outputs(quantized, more)) < SUMS
    quantized_layers = {choice.layer for choice in config if choice.method != "keep"}
    assert set(written.layers) == quantized_layers - {"again"}


@pytest.mark.parametrize("name", ["conv", "mlp", "transposed"])
def test_quantized_inputs_differ_by_ties_alone(name: str, tmp_path: Path) -> None:
    network = trained(name)
    quantized = rlquant.quantize(
        network,
        configured(
            network,
            {"bits": 4, "activation_bits": 8},
            {"bits": 3, "points": "quantile", "activation_bits": 6},
            {"bits": 8, "activation_bits": 4},
            {"bits": 2, "activation_bits": 12},
        ),
        calibration=samples_of(name, 64),
        calibration_samples=64,
    )
    inputs, _ = samples_of(name, 200, seed=3)
    written = export_onnx(quantized, inputs, tmp_path / "model.onnx")
    found, wanted = ran(written, inputs), outputs(quantized, inputs)
    assert np.abs(found - wanted).mean() < 1e-3 * np.abs(wanted).max()
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.98
    checked = onnx.load(written.path)
    onnx.checker.check_model(checked)
    kinds = Counter(node.op_type for node in checked.graph.node)
    assert kinds["QuantizeLinear"] >= 1
    assert kinds["Round"] >= 1  # beside points that are no integers


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


def optimized(path: Path, folder: Path) -> Counter[str]:
    """Return the operators that onnxruntime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


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


def test_packed_weights_make_small_files(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(100, 1000), nn.ReLU(), nn.Linear(1000, 10)).eval()
    data = (torch.rand(64, 100), torch.zeros(64, dtype=torch.long))
    sizes = {}
    for bits in (1, 3, 8, 9):
        quantized = rlquant.quantize(
            network,
            configured(network, {"bits": bits}),
            calibration=data,
            calibration_samples=64,
            bucket_size=None,
        )
        written = export_onnx(quantized, data[0], tmp_path / "m.onnx")
        assert written.opset == (25 if bits <= 2 else 21)
        sizes[bits] = written.bytes
    weights, rest = 110_000, 9_000  # biases and the graph
    held = {1: 2, 3: 4, 8: 8, 9: 16}
    for bits, width in held.items():
        assert weights * width // 8 < sizes[bits] < weights * width // 8 + rest


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


def test_linear_layers_run_in_8_bit_kernels(tmp_path: Path) -> None:
    network, data = trained("mlp"), samples_of("mlp", 64)
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 8, "activation_bits": 8}),
        calibration=data,
        calibration_samples=64,
    )
    for target in (None, "onnxruntime-int8"):
        written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target=target)
        kernels = optimized(written.path, tmp_path)
        assert kernels["QGemm"] == 3
        assert not {"Gemm", "MatMul"} & set(kernels)
        assert written.quantized_between == 0
        assert written.error is not None
        assert written.error < 0.01


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.Flatten(1),
        nn.Linear(16, 3),
    )


@pytest.mark.parametrize("target", [None, "onnxruntime-int8"])
@pytest.mark.parametrize("gain", [1e-5, 1e-12, 1e-42, 0.0])
@pytest.mark.parametrize("where", ["norm", "filter"])
def test_channels_that_give_their_bias_alone_keep_it(
    target: str | None, gain: float, where: str, tmp_path: Path
) -> None:
    network = fresh(convolutions).eval()
    if where == "norm":
        network[1].weight.data[0] = gain
        network[1].bias.data[0] = 0.4
    else:
        network[3].weight.data[0] *= gain
        network[3].bias.data[0] = 0.4
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
    assert written.error < 0.06  # a step of the last layer's inputs; without the bias 0.3


def test_transposed_convolutions_have_no_kernel_and_stay_exact(tmp_path: Path) -> None:
    network, data = trained("transposed"), samples_of("transposed", 64)
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 8, "activation_bits": 8}),
        calibration=data,
        calibration_samples=64,
    )
    written = export_onnx(quantized, data[0], tmp_path / "m.onnx", target="onnxruntime-int8")
    assert written.error is not None
    assert written.error < 0.01


def test_one_sample_two_inputs_and_a_fixed_batch(tmp_path: Path) -> None:
    network = fresh(TwoInputsNet).eval()
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    pair = (torch.rand(1, 6), torch.rand(1, 6))
    written = export_onnx(quantized, pair, tmp_path / "m.onnx")
    more = (torch.rand(5, 6), torch.rand(5, 6))
    with torch.no_grad():
        assert difference(ran(written, *more), quantized(*more).numpy()) < SUMS
    for given in (more, pair):
        fixed = export_onnx(quantized, given, tmp_path / "fixed.onnx", dynamic_batch=False)
        shapes = [item.shape for item in open_session(fixed.path).get_inputs()]
        assert shapes == [[len(given[0]), 6]] * 2


class Shifted(nn.Module):
    """Its second argument belongs to no sample."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs: Tensor, shift: Tensor) -> dict[str, Any]:
        result = self.layer(inputs + shift)
        return {"logits": result, "nothing": None, "both": (result > 0, result.sum())}


def test_an_argument_without_samples_and_outputs_of_all_kinds(tmp_path: Path) -> None:
    network = fresh(Shifted).eval()
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    shift = torch.rand(6)
    written = export_onnx(quantized, (torch.rand(4, 6), shift), tmp_path / "m.onnx")
    assert written.error is not None
    assert written.error < SUMS
    more = torch.rand(9, 6)
    with torch.no_grad():
        assert (
            difference(ran(written, more, shift), quantized(more, shift)["logits"].numpy()) < SUMS
        )


def test_a_fixed_batch_is_calibrated_in_batches_of_its_size(tmp_path: Path) -> None:
    network, data = trained("conv"), samples_of("conv", 64)
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 8, "activation_bits": 8}),
        calibration=data,
        calibration_samples=64,
    )
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


def test_nothing_of_the_machine_stands_in_a_file(tmp_path: Path) -> None:
    network = trained("mlp")
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    first = export_onnx(quantized, samples_of("mlp", 4)[0], tmp_path / "first.onnx")
    content = first.path.read_bytes()
    assert b"rlquant" in content  # our own mark
    for trace in (str(Path(__file__).parent), str(Path(torch.__file__).parent), ".py"):
        assert trace.encode() not in content
    second = export_onnx(quantized, samples_of("mlp", 4)[0], tmp_path / "second.onnx")
    assert second.path.read_bytes() == content


def test_a_network_in_training_is_exported_as_it_is_used(tmp_path: Path) -> None:
    network = trained("conv")
    quantized = rlquant.quantize(
        network,
        configured(network, {"bits": 4}),
        calibration=samples_of("conv", 64),
        calibration_samples=64,
    )
    inputs, _ = samples_of("conv", 9)
    wanted = outputs(quantized, inputs)
    written = export_onnx(quantized.train(), inputs, tmp_path / "m.onnx")
    assert quantized.training
    assert difference(ran(written, inputs), wanted) < SUMS


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
    half = rlquant.quantize(trained("mlp").half(), configured(network, {"bits": 4}))
    with pytest.raises(NetworkError, match="float32"):
        export_onnx(half, inputs.half(), tmp_path / "m.onnx")
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


def check_task_network(name: str, shape: tuple[int, int, int], folder: Path) -> None:
    """Export a network of the tasks in three ways and compare it with PyTorch."""
    torch.manual_seed(0)
    network = TASK_NETWORKS[name](shape, 10).eval()
    data = (torch.rand(64, *shape), torch.randint(10, (64,)))
    inputs = data[0][:16]
    for choices, target, limit in (
        (MIXED, None, SUMS),
        (({"bits": 4, "activation_bits": 8}, {"bits": 3, "activation_bits": 8}), None, 0.01),
        (({"bits": 4, "activation_bits": 8}, {"bits": 8, "activation_bits": 8}), INT8, 0.1),
    ):
        quantized = rlquant.quantize(
            network, configured(network, *choices), calibration=data, calibration_samples=64
        )
        written = export_onnx(quantized, inputs, folder / "m.onnx", target=target)
        found, wanted = ran(written, inputs), outputs(quantized, inputs)
        spread = np.abs(wanted).max()  # random weights: outputs of deep networks are noise
        assert np.abs(found - wanted).mean() / spread < limit
        assert np.isfinite(found).all()


def test_a_network_of_the_tasks(tmp_path: Path) -> None:
    check_task_network("resnet8", (1, 28, 28), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TASK_NETWORKS) - {"resnet8"}))
def test_all_networks_of_the_tasks(name: str, tmp_path: Path) -> None:
    if name in ("wrn-16-10", "wrn-22-8", "wrn-28-10"):
        pytest.skip("the same blocks as wrn-10-2, hundreds of times as large")
    cifar = name.startswith(("polino", "wrn", "resnet")) or name == "gupta-cnn-cifar"
    check_task_network(name, (3, 32, 32) if cifar else (1, 28, 28), tmp_path)
