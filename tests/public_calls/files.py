"""Public calls that write and read files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rlquant
from gguf_models import save_tokenizer
from public_calls import given
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.export.rlq.packed import read_config
from rlquant.tabular.table_file import read_table, write_table


def _pack(folder: Path) -> Any:
    quantized = given.prepare().quantized
    return rlquant.pack(quantized), rlquant.pack(quantized, entropy_coding=True)


def _unpack(folder: Path) -> Any:
    return given.outputs_of(given.unpacked(), given.prepare().validation)


def _save_and_load(folder: Path) -> Any:
    path = folder / "network.rlq"
    size = rlquant.save(given.prepare().quantized, path)
    return size, read_config(path), rlquant.load(path, given.prepare().network)


def _dequantize(folder: Path) -> Any:
    return rlquant.dequantize(given.prepare().quantized)


def _export_onnx(folder: Path) -> Any:
    path = folder / "network.onnx"
    made = rlquant.export_onnx(given.prepare().quantized, given.prepare().validation[0][:8], path)
    return made, path.read_bytes()


def _export_gguf(folder: Path) -> Any:
    made = given.decoder()
    source = folder / "source"
    save_tokenizer(source)
    path = folder / "network.gguf"
    written = rlquant.export_gguf(made, path, source=source)
    return written.bytes, written.types, path.read_bytes()


def _export_compressed_tensors(folder: Path) -> Any:
    written = rlquant.export_compressed_tensors(given.packed_decoder(), folder / "packed")
    files = {path.name: path.read_bytes() for path in written.folder.iterdir()}
    return written.bytes, written.schemes, files


def _export_integers(folder: Path) -> Any:
    toys = given.prepare()
    eight = tuple(LayerChoice(n, 8, activation_bits=8) for n in ("first", "second", "last"))
    made = rlquant.quantize(
        toys.network, QuantizationConfig(eight), toys.train, calibration_samples=64
    )
    path = folder / "network.onnx"
    inputs = toys.validation[0][:8]
    return rlquant.export_onnx(made, inputs, path, target="onnxruntime-int8"), path.read_bytes()


def _table_file(folder: Path) -> Any:
    path = folder / "table.rlt"
    return (
        write_table(given.prepare().table, path),
        path.read_bytes(),
        read_table(path).measured.losses,
    )


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "pack": _pack,
    "unpack": _unpack,
    "save and load": _save_and_load,
    "dequantize": _dequantize,
    "export_onnx": _export_onnx,
    "export_gguf": _export_gguf,
    "export_compressed_tensors": _export_compressed_tensors,
    "export integers": _export_integers,
    "table file": _table_file,
}
