"""The reader in docs/examples, alone in a process: the arrays that rlquant itself loads."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.config import GroupSize
from rlquant.cost.file_layout import CONTENTS_HEAD, encode_varint, stored_tensors
from small_networks import NETWORKS, fresh, samples_of
from strategies import damage

READER = Path(__file__).parents[2] / "docs" / "examples" / "read_rlq.py"
ALONE = """
import importlib.util, sys
for name in ("torch", "rlquant"):
    sys.modules[name] = None  # so that importing it fails
spec = importlib.util.spec_from_file_location("reader", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
import numpy
for path in sys.argv[2:]:
    numpy.savez(path + ".npz", **reader.read(path))
"""
KINDS = (
    *("symmetric", "clipped", "fixed_point", "affine", "linear", "quantile", "kmeans"),
    *("ternary", "float"),
)
GROUP_SIZES = ("channel", 5, 32, 2**16, "tensor")


def run(*arguments: object, fails: bool = False) -> str:
    """What another process that runs Python writes, to standard error where it fails."""
    command = [sys.executable, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode != 0) == fails, ran.stderr
    return ran.stderr if fails else ran.stdout


def choice(
    layer: str,
    kind: str,
    bits: int,
    activation_bits: int | None,
    group_size: GroupSize = "channel",
) -> LayerChoice:
    if kind == "float":
        return LayerChoice(layer, 32, method="float")
    if kind == "ternary":
        return LayerChoice(layer, 2, method="ternary", activation_bits=activation_bits)
    return LayerChoice(
        layer, bits, points=kind, group_size=group_size, activation_bits=activation_bits
    )


class Everything(nn.Module):
    """Layers of several shapes beside tensors of other types."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3)
        self.up = nn.ConvTranspose2d(7, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.last = nn.Linear(11, 13)
        self.register_buffer("mask", torch.rand(3) > 0.5)
        self.register_buffer("count", torch.randint(-9, 9, ()))
        self.register_buffer("nothing", torch.empty(2, 0))
        self.register_buffer("phase", torch.randn(3, dtype=torch.complex64))
        self.register_buffer("brain", torch.randn(2, 3).bfloat16())


def saved(folder: Path, *, entropy_coding: bool = False) -> list[Path]:
    """Files with every kind of layer under every group size, mixed, of 1 to 16 bits."""
    paths = []
    for number, kind in enumerate(KINDS):
        for place in range(len(GROUP_SIZES)):
            bits = [1 + (3 * number + place + shift) % 8 for shift in (0, 3, 5)]
            if kind in ("symmetric", "affine", "linear"):
                bits[0] += 8
            sizes = [GROUP_SIZES[(place + shift) % len(GROUP_SIZES)] for shift in range(3)]
            layers = zip(("conv", "up", "last"), bits, sizes, strict=True)
            config = QuantizationConfig(tuple(choice(n, kind, b, None, g) for n, b, g in layers))
            network = rlquant.quantize(fresh(Everything), config)
            paths.append(folder / f"{kind}-{place}.rlq")
            rlquant.save(network, paths[-1], entropy_coding=entropy_coding)
    return paths


def same(found: np.ndarray, tensor: torch.Tensor) -> bool:
    wanted = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return found.dtype == wanted.numpy().dtype and np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize("entropy_coding", [False, True])
def test_arrays_are_those_that_rlquant_loads(tmp_path: Path, entropy_coding: bool) -> None:
    paths = saved(tmp_path, entropy_coding=entropy_coding)
    run("-c", ALONE, READER, *paths)
    for path in paths:
        loaded = rlquant.dequantize(rlquant.load(path, fresh(Everything, 7)))
        expected = stored_tensors(loaded)
        with np.load(f"{path}.npz") as arrays:
            assert sorted(arrays) == sorted(expected)
            for name, tensor in expected.items():
                assert same(arrays[name], tensor), (path.name, name)


def test_it_lists_a_file_whose_inputs_are_quantized(tmp_path: Path) -> None:
    choices = (
        choice("first", "affine", 3, 4),
        choice("second", "ternary", 2, 8),
        choice("last", "symmetric", 12, None),
    )
    network = rlquant.quantize(
        fresh(NETWORKS["mlp"].build),
        QuantizationConfig(choices),
        samples_of("mlp", 64),
        calibration_samples=64,
    )
    path = tmp_path / "x.rlq"
    rlquant.save(network, path)
    lines = run("-I", READER, path).splitlines()
    assert [line.split() for line in lines] == [
        ["first.bias", "(8,)", "-", "bits", "32", "bytes"],
        ["first.weight", "(8,", "6)", "3", "bits", "56", "bytes"],
        ["last.bias", "(3,)", "-", "bits", "12", "bytes"],
        ["last.weight", "(3,", "8)", "12", "bits", "42", "bytes"],
        ["second.bias", "(8,)", "-", "bits", "32", "bytes"],
        ["second.weight", "(8,", "8)", "1.6", "bits", "23", "bytes"],
    ]


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, packed_mlp: bytes) -> None:
    path = tmp_path / "x.rlq"
    for content, message in (
        (b"", "is no whole .rlq file"),
        (b"PK" + bytes(200), "is no whole .rlq file"),
        (packed_mlp[:-1], "is no whole .rlq file"),
        (packed_mlp[:-1] + bytes([packed_mlp[-1] ^ 1]), "its checksum does not match"),
    ):
        path.write_bytes(content)
        assert message in run("-I", READER, path, fails=True)


def test_it_is_short_and_needs_numpy_alone() -> None:
    lines = READER.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 160
    imported = {line.split()[1] for line in lines if line.lstrip().startswith(("import ", "from "))}
    own = {"hashlib", "math", "struct", "sys", "pathlib"}
    assert imported == own | {"numpy", "constriction"}


@pytest.fixture(scope="module")
def reader() -> Any:
    spec = importlib.util.spec_from_file_location("reader", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_behind_a_right_checksum_is_one_error_or_arrays(
    data: st.DataObject,
    reader: Any,
    parts: tuple[bytes, bytes],
    seal: Callable[[bytes, bytes], bytes],
    tmp_path: Path,
) -> None:
    contents, body = parts
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(data.draw(damage(contents)), body))
    with contextlib.suppress(ValueError):
        reader.read(path)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (CONTENTS_HEAD.pack(2_000_000), "2000000 tensors, at most 65536 are read"),
        (CONTENTS_HEAD.pack(1), "is damaged: "),
        (CONTENTS_HEAD.pack(1) + b"\0\x01a\0\x41" + b"\x01" * 65, "dimension"),
        (CONTENTS_HEAD.pack(1) + b"\xff" * 10**6, "is damaged: "),
        (
            CONTENTS_HEAD.pack(1) + b"\0\x01a\xff\x01" + encode_varint(2**62) + b"\1\0\0\3\0\0\0\0",
            "a weight of more bits or numbers",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_contents_that_cannot_be_are_one_error(
    reader: Any,
    contents: bytes,
    words: str,
    seal: Callable[[bytes, bytes], bytes],
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(contents, b""))
    begun = time.process_time()
    with pytest.raises(ValueError, match=words):
        reader.read(path)
    assert time.process_time() - begun < 2
    with pytest.raises(ValueError, match=r"is no whole \.rlq file"):
        reader.read(tmp_path)
