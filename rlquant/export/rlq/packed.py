"""The packed file `.rlq`: a quantized network in as few bytes as its bits need, safe to read.

The layout stands in `rlquant.cost.file_layout`. A file holds numbers and names, never code;
whatever it claims is checked against its real size, its checksum and the network that it is
loaded into before memory is taken for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.cost.file_layout import FILE_VERSION, MAGIC, PROLOGUE, stored_tensors
from rlquant.documents import require_regular
from rlquant.errors import FileFormatError, NetworkError
from rlquant.export.quantized_layers import float_tensors, quantized_layers
from rlquant.export.rlq.bit_packing import Bytes
from rlquant.export.rlq.contents import ContentsReader, Entry, LayerRecord, write_contents
from rlquant.export.rlq.layer_body import (
    body_bytes,
    decode_layer,
    encode_layer,
    raw_bytes,
    raw_tensor,
    record_of,
    shorter_codes,
)
from rlquant.files import reading, write_file
from rlquant.network.modules import install_activation, install_weight, mark_quantized
from rlquant.paths import PathLike, path_of
from rlquant.plain_network import require_network
from rlquant.quantizable import require_answering
from rlquant.quantizers.tensor import strides_of
from rlquant.weight_sites import site_of, weight_sites

CHECKSUM_BYTES = 16
BLOCK_BYTES = 2**20
MOST_CONTENTS_BYTES = 2**25
MOST_TENSOR_BYTES = 2**11
"""What a quantized tensor has beside its weights at the most: a codebook and a grid of inputs."""
ALWAYS_READ_BYTES = 2**26
"""Of files that are not larger, the names say best why they are not the network's."""


@explained
@isolated()
def save(quantized: nn.Module, path: PathLike, *, entropy_coding: bool = False) -> int:
    """Write a quantized network to a packed file, whole or not at all.

    Args:
        quantized: what `rlquant.quantize` or `problem.build` returned; left as it is.
        path: usually `*.rlq`; its folder must exist. An existing file is replaced.
        entropy_coding: store frequent codes in fewer bits, in every layer that gets smaller by
            it; reading such a file needs constriction too.

    Returns:
        The size of the file in bytes: exactly `score.size_bytes`, or less by entropy coding.

    Raises:
        NetworkError: the network is not one that rlquant quantized, or holds state that the file
            cannot.
        SettingsError: no path, or entropy coding without constriction installed.
        StorageError: the file cannot be written.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 4),))
        >>> quantized = rlquant.quantize(network, config, calibration=data)
        >>> rlquant.save(quantized, "network.rlq") == len(rlquant.pack(quantized))
        True
    """
    target = path_of("path", path)
    data = pack(quantized, entropy_coding=entropy_coding)
    write_file(target, data)
    return len(data)


@explained
@isolated()
def load(path: PathLike, network: nn.Module) -> nn.Module:
    """Read a packed file into a copy of `network`: the outputs are the saved network's exactly.

    Safe for untrusted input: nothing in them is run.

    Args:
        path: what `save` wrote.
        network: an instance of the float network's class, with any weights; never changed. The
            result has its device and memory layout.

    Returns:
        The quantized network in eval mode.

    Raises:
        FileFormatError: the file is damaged, foreign, of another version or of another network.
        StorageError: the file cannot be read.
        NetworkError: `network` is no plain float network.
        SettingsError: no path, or the file is entropy-coded and constriction not installed.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 4),))
        >>> quantized = rlquant.quantize(network, config, calibration=data)
        >>> size = rlquant.save(quantized, "network.rlq")
        >>> loaded = rlquant.load("network.rlq", network)
        >>> loaded(data[0]).equal(quantized(data[0]))
        True
    """
    require_network(network)
    source = path_of("path", path)
    with reading(source):
        return unpack(_read(source, _most_bytes(network)), network)


@explained
@isolated()
def read_config(path: PathLike) -> QuantizationConfig:
    """Read which choice each layer of a packed file was quantized by; no network is needed.

    The choices are sorted by layer name, and layers that were kept in float are not among them.
    Raises `FileFormatError`, `SettingsError` and `StorageError` as `load` does.
    """
    source = path_of("path", path)
    with reading(source):
        records = _records(ContentsReader(_read_contents(source)).entries())
        return QuantizationConfig(tuple(record.choice for record in records))


@explained
@isolated()
def pack(quantized: nn.Module, *, entropy_coding: bool = False) -> bytes:
    """Return the packed file of a quantized network as bytes; see `save`.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 2),))
        >>> len(rlquant.pack(rlquant.quantize(network, config))) < 1000
        True
    """
    layers = quantized_layers(quantized)
    by_weight = {layer.site.tensor: layer for layer in layers.values()}
    entries, parts = [], []
    for name, tensor in float_tensors(quantized, layers).items():
        layer = by_weight.get(name)
        if layer is None:
            entries.append(Entry(name, tensor.shape, tensor.dtype))
            parts.append(raw_bytes(tensor).tobytes())
        else:
            record = record_of(name, layer)
            coded = shorter_codes(layer) if entropy_coding else None
            if coded is not None:
                record = replace(record, coded_bytes=len(coded))
            entries.append(Entry(name, tensor.shape, record))
            parts += encode_layer(layer, coded)
    contents = write_contents(entries)
    size = sum(map(len, parts))
    head = PROLOGUE.pack(MAGIC, FILE_VERSION, len(contents), size, b"")[:-CHECKSUM_BYTES]
    return b"".join((head, _checksum((head, contents, *parts)), contents, *parts))


@explained
@isolated()
def unpack(data: bytes, network: nn.Module) -> nn.Module:
    """Return the quantized network that `pack` packed; see `load`.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 2),))
        >>> quantized = rlquant.quantize(network, config)
        >>> unpacked = rlquant.unpack(rlquant.pack(quantized), network)
        >>> unpacked.hidden.weight.equal(quantized.hidden.weight)
        True
    """
    if any(map(parametrize.is_parametrized, require_network(network).modules())):
        raise NetworkError(
            f"this {type(network).__name__} is parametrized or quantized; give a plain float one"
        )
    contents, body = _split(data)
    reader = ContentsReader(contents)
    entries = _matching_entries(reader, network)
    sizes = [body_bytes(entry) for entry in entries]
    if sum(sizes) != len(body):
        raise FileFormatError(f"its tensors take {sum(sizes)} bytes, but it has {len(body)}")
    require_answering(network, [e.layer for e in entries if isinstance(e.kind, LayerRecord)])
    loaded = copy_network(network, unset=_written(network, entries))
    mark_quantized(loaded)
    targets = stored_tensors(loaded)
    ends = list(accumulate(sizes))
    for entry, size, end in zip(entries, sizes, ends, strict=True):
        piece = body[end - size : end]
        if isinstance(entry.kind, torch.dtype):
            targets[entry.name].copy_(raw_tensor(piece, entry.kind, entry.shape))
        else:
            tensor, inputs = decode_layer(piece, entry.kind, entry.shape)
            site, weight = site_of(loaded, entry.layer), targets[entry.name]
            tensor = replace(tensor, strides=strides_of(weight))
            install_weight(loaded, site, entry.kind.choice, tensor)
            module = site.owner_in(loaded)
            if inputs is not None:
                install_activation(module, inputs)
            module.to(weight.device)
    return loaded.eval()


def _matching_entries(reader: ContentsReader, network: nn.Module) -> list[Entry]:
    """Return the entries of the contents, each checked against the network's own tensor."""
    expected = stored_tensors(network)
    sites = weight_sites(network, all_names=True)
    wanted = f"load it into the class of network that was saved, not this {type(network).__name__}"
    entries = []
    for entry, (name, tensor) in zip(reader.entries(), expected.items(), strict=False):
        if entry.name != name:
            raise FileFormatError(
                f"it has a tensor {entry.name[:80]!r} in place of {name!r}; {wanted}"
            )
        if entry.shape != tensor.shape:
            shapes = f"{tuple(entry.shape)}, the network's {tuple(tensor.shape)}"
            raise FileFormatError(f"tensor {name!r} has shape {shapes}; {wanted}")
        if isinstance(entry.kind, LayerRecord):
            site = sites.get(entry.layer)
            is_weight = site is not None and site.tensor == entry.name
            if site is not None and site.is_part and entry.kind.choice.activation_bits:
                is_weight = False
            axis_is_there = entry.kind.channel_axis < max(tensor.dim(), 1)
            if not (is_weight and axis_is_there and tensor.is_floating_point() and tensor.numel()):
                raise FileFormatError(f"tensor {name!r} is quantized, which it cannot be; {wanted}")
        elif entry.kind != tensor.dtype:
            raise FileFormatError(
                f"tensor {name!r} is of type {entry.kind}, the network's {tensor.dtype}; {wanted}"
            )
        entries.append(entry)
    if reader.count != len(expected):
        raise FileFormatError(
            f"it has {reader.count} tensors, the network {len(expected)}; {wanted}"
        )
    return entries


def _written(network: nn.Module, entries: list[Entry]) -> list[nn.Parameter]:
    """Return the network's parameters that a file with these entries writes whole."""
    state, names = network.state_dict(keep_vars=True), {entry.name for entry in entries}
    return [state[name] for name in names if type(state[name]) is nn.Parameter]


def _records(entries: Iterable[Entry]) -> list[LayerRecord]:
    return [entry.kind for entry in entries if isinstance(entry.kind, LayerRecord)]


def _checksum(parts: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _claims(prologue: bytes, size: int) -> int:
    """Return the length of the contents that a file of `size` bytes claims."""
    if len(prologue) < PROLOGUE.size:
        what = "is empty" if not prologue else f"has only {len(prologue)} bytes"
        raise FileFormatError(f"it {what}, too few for a packed network")
    magic, version, contents, body, _ = PROLOGUE.unpack(prologue)
    if magic != MAGIC:
        raise FileFormatError("it is not a packed network (.rlq)")
    if version != FILE_VERSION:
        older = "quantize the network again and save it, or use the rlquant that wrote it"
        raise FileFormatError(
            f"it is of format version {version}, this rlquant reads version {FILE_VERSION}; "
            f"{older if version < FILE_VERSION else 'use a newer rlquant'}"
        )
    claimed = PROLOGUE.size + contents + body
    if claimed != size:
        raise FileFormatError(f"it has {size} bytes, its header says {claimed}: it is damaged")
    if contents > MOST_CONTENTS_BYTES:
        raise FileFormatError(
            f"its names and shapes take {contents:,} bytes, use at most {MOST_CONTENTS_BYTES:,}"
        )
    length: int = contents
    return length


def _split(data: bytes) -> tuple[bytes, Bytes]:
    """Return contents and body of a packed file whose checksum is right."""
    contents = _claims(data[: PROLOGUE.size], len(data))
    _require_checksum(data[: PROLOGUE.size], [memoryview(data)[PROLOGUE.size :]])
    start = PROLOGUE.size + contents
    return data[PROLOGUE.size : start], np.frombuffer(data, np.uint8)[start:]


def _require_checksum(prologue: bytes, rest: Iterable[bytes | memoryview]) -> None:
    head, checksum = prologue[:-CHECKSUM_BYTES], prologue[-CHECKSUM_BYTES:]
    if _checksum(chain([head], rest)) != checksum:
        raise FileFormatError("its checksum does not match: it is damaged")


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; yields it with its bytes."""
    require_regular(path)
    with open(path, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size


def _read(path: str | Path, most: int) -> bytes:
    """Return a file's bytes, if its first ones and its size say that it is a packed network."""
    with _opened(path) as (file, size):
        _claims(file.read(PROLOGUE.size), size)
        if size > most:
            raise FileFormatError(
                f"it has {size:,} bytes, a file of this network at most {most:,}; load it into the "
                f"class of network that was saved"
            )
        file.seek(0)
        return file.read(size)


def _read_contents(path: str | Path) -> bytes:
    """Return the contents of a file whose checksum is right; its body takes no memory."""
    with _opened(path) as (file, size):
        prologue = file.read(PROLOGUE.size)
        length = _claims(prologue, size)
        contents = file.read(length)
        body = iter(partial(file.read, BLOCK_BYTES), b"")
        _require_checksum(prologue, chain([contents], body))
        return contents


def _most_bytes(network: nn.Module) -> int:
    """Return more bytes than any packed file of a network has, or what is always read.

    A weight takes at most two bytes for its code, and eight in groups of one.
    """
    tensors = [*network.parameters(), *network.buffers()]
    body = sum(max(t.nbytes, 10 * t.numel()) + MOST_TENSOR_BYTES for t in tensors)
    return max(ALWAYS_READ_BYTES, MOST_CONTENTS_BYTES + body)
