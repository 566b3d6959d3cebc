"""ONNX files compute what the PyTorch network computes, and their weights are packed integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import rlquant
from exported_networks import (
    MIXED,
    SUMS,
    configured,
    difference,
    outputs,
    ran,
)
from rlquant.config import GroupSize
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.runtime import open_session
from rlquant.export.targets import INT8
from rlquant.tasks.networks import NETWORKS as TASK_NETWORKS
from small_networks import NETWORKS, TwoInputsNet, fresh, samples_of, trained


@pytest.mark.parametrize(
    ("name", "group_size"),
    [
        *((name, "channel") for name in sorted(NETWORKS)),
        ("conv", "tensor"),
        ("transposed", 7),
        ("conv", 7),
        ("mlp", 2**16),
    ],
)
def test_weights_of_every_kind_compute_the_same(
    name: str, group_size: GroupSize, tmp_path: Path
) -> None:
    network = trained(name)
    config = configured(network, *({**each, "group_size": group_size} for each in MIXED))
    quantized = rlquant.quantize(
        network,
        config,
        calibration=samples_of(name, 64),
        calibration_samples=64,
    )
    inputs, _ = samples_of(name, 20, seed=3)
    written = rlquant.export_onnx(quantized, inputs, tmp_path / "model.onnx")
    assert written.error is not None
    assert written.error < SUMS
    assert written.bytes == written.path.stat().st_size
    more, _ = samples_of(name, 33, seed=4)  # the batch is open
    assert difference(ran(written, more), outputs(quantized, more)) < SUMS
    quantized_layers = {choice.layer for choice in config if choice.method != "float"}
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


def test_packed_weights_make_small_files(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(100, 1000), nn.ReLU(), nn.Linear(1000, 10)).eval()
    data = (torch.rand(64, 100), torch.zeros(64, dtype=torch.long))
    sizes = {}
    for bits in (1, 3, 8, 9):
        quantized = rlquant.quantize(
            network,
            configured(network, {"bits": bits, "group_size": "tensor"}),
            calibration=data,
            calibration_samples=64,
        )
        written = export_onnx(quantized, data[0], tmp_path / "m.onnx")
        assert written.opset == (25 if bits <= 2 else 21)
        sizes[bits] = written.bytes
    weights, rest = 110_000, 9_000  # biases and the graph
    held = {1: 2, 3: 4, 8: 8, 9: 16}
    for bits, width in held.items():
        assert weights * width // 8 < sizes[bits] < weights * width // 8 + rest


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


Way = tuple[Sequence[dict[str, Any]], str | None, float]
"""Choices in turn, a target, and how far outputs may be."""
WAYS: dict[str, Way] = {
    "float inputs": (MIXED, None, SUMS),
    "8-bit kernels": (tuple({"bits": b, "activation_bits": 8} for b in (4, 8)), INT8, 0.1),
    "3 and 4 bits": (tuple({"bits": b, "activation_bits": 8} for b in (4, 3)), None, 0.01),
}


def check_task_network(
    name: str, shape: tuple[int, int, int], folder: Path, ways: Iterable[Way] = WAYS.values()
) -> None:
    """Export a network of the tasks in several ways and compare it with PyTorch."""
    torch.manual_seed(0)
    network = TASK_NETWORKS[name](shape, 10).eval()
    data = (torch.rand(64, *shape), torch.randint(10, (64,)))
    inputs = data[0][:16]
    for choices, target, limit in ways:
        quantized = rlquant.quantize(
            network, configured(network, *choices), calibration=data, calibration_samples=64
        )
        written = export_onnx(quantized, inputs, folder / "m.onnx", target=target)
        found, wanted = ran(written, inputs), outputs(quantized, inputs)
        spread = np.abs(wanted).max()  # random weights: outputs of deep networks are noise
        assert np.abs(found - wanted).mean() / spread < limit
        assert np.isfinite(found).all()


def test_a_network_of_the_tasks(tmp_path: Path) -> None:
    check_task_network("resnet8", (1, 28, 28), tmp_path, (WAYS["8-bit kernels"],))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TASK_NETWORKS))
def test_all_networks_of_the_tasks(name: str, tmp_path: Path) -> None:
    check_task_network(name, (3, 32, 32) if name.startswith("resnet") else (1, 28, 28), tmp_path)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_network_of_half_precision_is_written_in_float32(
    kind: torch.dtype, tmp_path: Path
) -> None:
    network = trained("mlp").to(kind)
    quantized = rlquant.quantize(network, configured(network, {"bits": 4}))
    before = {name: tensor.clone() for name, tensor in quantized.state_dict().items()}
    inputs, _ = samples_of("mlp", 20, seed=3)
    written = rlquant.export_onnx(quantized, inputs.to(kind), tmp_path / "model.onnx")
    assert written.error is not None
    assert written.error < SUMS
    step = torch.finfo(kind).eps
    with torch.no_grad():
        own = quantized(inputs.to(kind)).float().numpy()
    assert difference(ran(written, inputs.to(kind).float()), own) < 4 * step
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantized.state_dict().items())
