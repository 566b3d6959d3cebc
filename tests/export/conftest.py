"""Small quantized networks to pack, and packed files to tamper with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from torch import nn

from rlquant import LayerChoice, QuantizationConfig, quantize
from rlquant.cost.file_layout import FILE_VERSION, MAGIC, PROLOGUE
from rlquant.export.rlq.packed import pack
from small_networks import NETWORKS, fresh, samples_of

MLP_CHOICES = (
    LayerChoice("first", 3, points="quantile", activation_bits=4),
    LayerChoice("second", 2, method="ternary", activation_bits=8),
    LayerChoice("last", 12, points="affine"),
)
Seal = Callable[..., bytes]


def seal_file(contents: bytes, body: bytes, version: int = FILE_VERSION) -> bytes:
    """A file of these contents and body with the right lengths and checksum."""
    head = PROLOGUE.pack(MAGIC, version, len(contents), len(body), b"")[:-16]
    checksum = hashlib.blake2b(head + contents + body, digest_size=16).digest()
    return head + checksum + contents + body


@pytest.fixture(scope="session")
def seal() -> Seal:
    return seal_file


@pytest.fixture(scope="session")
def mlp() -> nn.Module:
    return fresh(NETWORKS["mlp"].build).eval()


@pytest.fixture(scope="session")
def mlp_config() -> QuantizationConfig:
    return QuantizationConfig(MLP_CHOICES)


@pytest.fixture(scope="session")
def quantized_mlp(mlp: nn.Module, mlp_config: QuantizationConfig) -> nn.Module:
    data = samples_of("mlp", 64)
    return quantize(mlp, mlp_config, data, calibration_samples=64)


@pytest.fixture(scope="session")
def packed_mlp(quantized_mlp: nn.Module) -> bytes:
    return pack(quantized_mlp)


@pytest.fixture(scope="session")
def parts(packed_mlp: bytes) -> tuple[bytes, bytes]:
    """Contents and body of the packed network."""
    contents = PROLOGUE.unpack(packed_mlp[: PROLOGUE.size])[2]
    rest = packed_mlp[PROLOGUE.size :]
    return rest[:contents], rest[contents:]
