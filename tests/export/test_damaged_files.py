"""Damaged, foreign and hostile files: one clear error, quickly, and no memory on their word."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import rlquant
from rlquant.cost.file_layout import (
    CONTENTS_HEAD,
    FILE_VERSION,
    MAGIC,
    PROLOGUE,
    QUANTIZED,
    encode_entry,
    encode_varint,
    needed_tensors,
)
from rlquant.errors import FileFormatError, NetworkError, StorageError
from rlquant.export.rlq.contents import (
    GRANULARITIES,
    ContentsReader,
    Entry,
    LayerRecord,
    write_contents,
)
from rlquant.export.rlq.packed import read_config, unpack
from small_networks import NETWORKS, fresh, samples_of
from strategies import damage

Seal = Callable[[bytes, bytes], bytes]
Parts = tuple[bytes, bytes]
fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(data=st.data())
def test_any_damage_is_found(data: st.DataObject, packed_mlp: bytes, mlp: nn.Module) -> None:
    damaged = data.draw(damage(packed_mlp))
    if damaged != packed_mlp:
        with pytest.raises(FileFormatError):
            unpack(damaged, mlp)


@fuzz
@given(data=st.data())
def test_damage_behind_a_right_checksum_is_found_or_harmless(
    data: st.DataObject, parts: Parts, mlp: nn.Module, seal: Seal, tmp_path: Path
) -> None:
    contents, body = parts
    if data.draw(st.booleans()):
        contents = data.draw(damage(contents))
    else:
        body = data.draw(damage(body))
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(contents, body))
    for read in (read_config, lambda p: rlquant.load(p, mlp)(samples_of("mlp", 3)[0])):
        with suppress(FileFormatError):
            read(path)


def test_every_truncation_is_found(packed_mlp: bytes, mlp: nn.Module) -> None:
    for length in range(len(packed_mlp)):
        with pytest.raises(FileFormatError):
            unpack(packed_mlp[:length], mlp)


# --- the prologue


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"RLQ", "it has only 3 bytes"),
        (b"PK\x03\x04" + bytes(100), r"it is not a packed network \(\.rlq\)"),
        (
            PROLOGUE.pack(MAGIC, 7, 0, 0, b""),
            f"format version 7, this rlquant reads version {FILE_VERSION}",
        ),
        (
            PROLOGUE.pack(MAGIC, FILE_VERSION, 9, 2**63, b""),
            "it has 36 bytes, its header says 92233720368547",
        ),
        (
            PROLOGUE.pack(MAGIC, FILE_VERSION, 0, 0, b""),
            "its checksum does not match: it is damaged",
        ),
    ],
)
def test_other_files(content: bytes, message: str, tmp_path: Path, mlp: nn.Module) -> None:
    path = tmp_path / "x.rlq"
    path.write_bytes(content)
    for read in (read_config, lambda p: rlquant.load(p, mlp)):
        with pytest.raises(FileFormatError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_large_foreign_file_is_not_read(tmp_path: Path, mlp: nn.Module) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    os.truncate(path, 2**40)  # sparse
    with pytest.raises(FileFormatError, match="not a packed network"):
        rlquant.load(path, mlp)


def test_a_file_larger_than_any_of_the_network_takes_no_memory(
    tmp_path: Path, mlp: nn.Module
) -> None:
    path = tmp_path / "x.rlq"
    path.write_bytes(PROLOGUE.pack(MAGIC, FILE_VERSION, 0, 2**40 - PROLOGUE.size, b""))
    os.truncate(path, 2**40)  # sparse
    words = r"it has 1,099,511,627,776 bytes, a file of this network at most 67,108,864; load it in"
    with pytest.raises(FileFormatError, match=words):
        rlquant.load(path, mlp)
    path.write_bytes(PROLOGUE.pack(MAGIC, FILE_VERSION, 2**31, 2**30, b""))
    os.truncate(path, 2**31 + 2**30 + PROLOGUE.size)
    for read in (read_config, lambda p: rlquant.load(p, mlp)):
        with pytest.raises(FileFormatError, match="its names and shapes take 2,147,483,648 bytes"):
            read(path)


def entry(name: bytes, shape: list[int]) -> bytes:
    numbers = b"".join(map(encode_varint, (len(shape), *shape)))
    return b"\0" + encode_varint(len(name)) + name + b"\0" + numbers


@pytest.mark.parametrize(
    ("count", "entries", "message"),
    [
        (2_000_000, [], "it has 2,000,000 tensors, at most 65,536"),
        (1, [entry(b"bias", [1] * 1_000_000)], "'bias' has 1,000,000 axes, use at most 64"),
        (2**16, [entry(b"%07d" % k, [0]) for k in range(2**16)], None),
    ],
    ids=["tensors", "axes", "as many as there may be"],
)
def test_contents_of_a_few_megabytes_take_no_time(
    count: int, entries: list[bytes], message: str | None, seal: Seal, tmp_path: Path
) -> None:
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(CONTENTS_HEAD.pack(count) + b"".join(entries), b""))
    begun = time.process_time()
    if message is None:
        assert len(read_config(path)) == 0
    else:
        with pytest.raises(FileFormatError, match=message):
            read_config(path)
    assert time.process_time() - begun < 2


def test_what_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NetworkError, match="'a' has 65 axes, a packed file at most 64"):
        needed_tensors({"a": torch.zeros([1] * 65)})
    monkeypatch.setattr("rlquant.cost.file_layout.MOST_TENSORS", 1)
    with pytest.raises(NetworkError, match="2 tensors, a packed file holds at most 1"):
        needed_tensors({"a": torch.zeros(1), "b": torch.zeros(1)})


def test_places_that_cannot_be_read_or_written(
    tmp_path: Path,
    mlp: nn.Module,
    quantized_mlp: nn.Module,
) -> None:
    with pytest.raises(StorageError, match=r"missing\.rlq: cannot be read"):
        rlquant.load(tmp_path / "missing.rlq", mlp)
    for read in (read_config, lambda p: rlquant.load(p, mlp)):
        with pytest.raises(FileFormatError, match="it is a folder, where a file should be"):
            read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for read in (read_config, lambda p: rlquant.load(p, mlp)):
        with pytest.raises(FileFormatError, match="it is a pipe"):
            read(tmp_path / "pipe")
    (tmp_path / "pipe").unlink()
    with pytest.raises(StorageError, match="cannot be written"):
        rlquant.save(quantized_mlp, tmp_path / "no folder" / "x.rlq")
    with pytest.raises(StorageError, match="cannot be written"):
        rlquant.save(quantized_mlp, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, quantized_mlp: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.rlq"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        rlquant.save(quantized_mlp, path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


# --- contents of another network, or of none


def altered(contents: bytes, name: str, /, **fields: object) -> bytes:
    """The contents with one entry changed."""
    reader = ContentsReader(contents)
    entries = [replace(e, **fields) if e.name == name else e for e in reader.entries()]
    return write_contents(entries)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("first.bias", {"name": "first.bios"}, "tensor 'first.bios' in place of 'first.bias'"),
        ("first.bias", {"shape": torch.Size([9])}, r"has shape \(9,\), the network's \(8,\)"),
        ("first.bias", {"shape": torch.Size([2**62, 2**62])}, "'first.bias' has shape"),
        ("last.weight", {"shape": torch.Size([2**62, 2**62])}, "'last.weight' has shape"),
        ("first.bias", {"kind": torch.float16}, r"of type torch\.float16, the network's torch\.f"),
        ("last.weight", {"kind": torch.float32}, "its tensors take .* bytes, but it has"),
    ],
)
def test_tensors_of_another_network(
    name: str, fields: dict[str, object], message: str, parts: Parts, mlp: nn.Module, seal: Seal
) -> None:
    contents, body = parts
    with pytest.raises(FileFormatError, match=message):
        unpack(seal(altered(contents, name, **fields), body), mlp)


@pytest.mark.parametrize("name", ["conv", "transposed", "words"])
def test_files_of_another_class(name: str, packed_mlp: bytes) -> None:
    network = fresh(NETWORKS[name].build)
    with pytest.raises(FileFormatError, match="load it into the class of network that was saved"):
        unpack(packed_mlp, network)


@pytest.mark.parametrize("kept", [0, 3])
def test_missing_tensors(kept: int, parts: Parts, mlp: nn.Module, seal: Seal) -> None:
    reader = ContentsReader(parts[0])
    entries = list(reader.entries())[:kept]
    with pytest.raises(FileFormatError, match=f"it has {kept} tensors, the network 6"):
        unpack(seal(write_contents(entries), b""), mlp)


def test_only_weights_of_layers_are_quantized(parts: Parts, seal: Seal, mlp: nn.Module) -> None:
    network = nn.Sequential(nn.LayerNorm(8))
    reader = ContentsReader(parts[0])
    record = next(e.kind for e in reader.entries() if isinstance(e.kind, LayerRecord))
    entries = [
        Entry("0.bias", torch.Size([8]), torch.float32),
        Entry("0.weight", torch.Size([8]), record),
    ]
    with pytest.raises(FileFormatError, match=r"'0\.weight' is quantized, which it cannot be"):
        unpack(seal(write_contents(entries), bytes(100)), network)
    wrong_axis = replace(record, channel_axis=2)
    with pytest.raises(FileFormatError, match=r"'last\.weight' is quantized, which it cannot be"):
        unpack(seal(altered(parts[0], "last.weight", kind=wrong_axis), parts[1]), mlp)


@pytest.mark.parametrize("size", [0, 2**16 + 1, 2**62])
def test_wrong_group_sizes(size: int, parts: Parts, mlp: nn.Module, seal: Seal) -> None:
    record = bytearray(first_record(parts[0]))
    record[7] = 2 * GRANULARITIES.index("weights")
    wrong = parts[0].replace(first_record(parts[0]), bytes(record) + encode_varint(size))
    with pytest.raises(FileFormatError, match=rf"layer 'first' .*group_size={size}, use"):
        unpack(seal(wrong, parts[1]), mlp)


# --- single fields


def first_record(contents: bytes) -> bytes:
    record = next(e.kind for e in ContentsReader(contents).entries() if e.name == "first.weight")
    assert isinstance(record, LayerRecord)
    return record.encode()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 200, "index out of range"),
        (0, 0, "method='float'"),
        (1, 200, "index out of range"),
        (2, 200, "index out of range"),
        (3, 0, "bits=0, use a whole number in 1..8"),
        (3, 9, "bits=9, use a whole number in 1..8"),
        (4, 1, "activation_bits=1"),
        (4, 17, "activation_bits=17"),
        (6, 200, "index out of range"),
        (6, 3, r"numbers of type torch\.float64"),
        (7, 6, "index out of range"),
    ],
)
def test_wrong_records(
    place: int, value: int, message: str, parts: Parts, mlp: nn.Module, seal: Seal
) -> None:
    contents, body = parts
    record = bytearray(first_record(contents))
    record[place] = value
    wrong = contents.replace(first_record(contents), bytes(record))
    with pytest.raises(FileFormatError, match=rf"layer 'first' .*{message}"):
        unpack(seal(wrong, body), mlp)


def head(count: int) -> bytes:
    return CONTENTS_HEAD.pack(count)


BIAS = encode_entry("", "first.bias", 0, (8,))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "contents end in the middle"),
        (head(1), "contents end in the middle"),
        (head(2**32 - 1) + BIAS, "it has 4,294,967,295 tensors, at most 65,536"),
        (head(1) + BIAS[:-1], "contents end in the middle"),
        (head(1) + BIAS + b"\0", "contents go on after the last tensor"),
        (head(1) + b"\x05\x01a\0\0", "shares more than there is"),
        (head(1) + b"\0\0\0\0", "not in order"),
        (head(2) + BIAS + encode_entry("", "e", 0, ()), "not in order"),
        (head(1) + b"\0\x02\xff\xfe\0\0", "is not UTF-8"),
        (head(1) + encode_entry("", "first.bias", 99, (8,)), "'first.bias' is of unknown type 99"),
        (head(1) + encode_entry("", "first.bias", QUANTIZED, (8,)), "only a weight can be"),
        (head(1) + b"\xff" * 50, "a number in its contents is too large"),
        (head(1) + b"\0\x01a\0" + encode_varint(2**60), "976 axes, use at most 64"),
    ],
)
def test_wrong_contents(contents: bytes, message: str, tmp_path: Path, seal: Seal) -> None:
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(contents, b""))
    with pytest.raises(FileFormatError, match=message):
        read_config(path)


def test_names_cannot_fill_the_memory(tmp_path: Path, seal: Seal) -> None:
    long = encode_entry("", "a" * 2**20, 0, ())
    longer = b"".join(encode_varint(2**20 + i) + b"\x01a\0\0" for i in range(1000))
    path = tmp_path / "x.rlq"
    path.write_bytes(seal(head(1001) + long + longer, b""))  # 1 MB that stands for 1 GB
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="not in order or too long"):
        read_config(path)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


# --- single numbers of the body


def test_wrong_activation_scale_and_ternary_codes(parts: Parts, mlp: nn.Module, seal: Seal) -> None:
    contents, body = parts
    # The last tensor is second.weight: 13 bytes of codes, two float16 scales, 6 of activations.
    with pytest.raises(FileFormatError, match="the inputs of layer 'second': scale=nan"):
        unpack(seal(contents, body[:-6] + struct.pack("<fH", float("nan"), 0)), mlp)
    with pytest.raises(FileFormatError, match="zero_point=256"):
        unpack(seal(contents, body[:-6] + struct.pack("<fH", 1.0, 256)), mlp)
    codes = len(body) - 6 - 4 - 13
    with pytest.raises(FileFormatError, match="ternary codes hold the byte 255"):
        unpack(seal(contents, body[:codes] + b"\xff" + body[codes + 1 :]), mlp)


def test_wrong_truth_values(seal: Seal) -> None:
    network = nn.Module()
    network.register_buffer("mask", torch.ones(2, dtype=torch.bool))
    contents = write_contents([Entry("mask", torch.Size([2]), torch.bool)])
    assert unpack(seal(contents, b"\0\1"), network).mask.tolist() == [False, True]
    with pytest.raises(FileFormatError, match="a truth value is stored as 7"):
        unpack(seal(contents, b"\0\7"), network)
