"""`export_gguf`: write a quantized network as a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.counted import counted
from rlquant.errors import NetworkError
from rlquant.export.histogram import histogram
from rlquant.export.quantized_layers import QuantizedLayer, float_tensors, quantized_layers
from rlquant.files import write_file
from rlquant.gguf.architecture import norm_offset
from rlquant.gguf.blocks import Bytes
from rlquant.gguf.container import TensorInfo, encode_header, padded
from rlquant.gguf.ggml_types import (
    QUANTIZED,
    TYPES,
    GgmlType,
    encode_floats,
    float_type,
    refusal,
    require_types,
    type_of,
)
from rlquant.gguf.plan import GgufPlan
from rlquant.paths import PathLike, path_of


@dataclass(frozen=True, slots=True)
class GgufExport:
    """A GGUF file that was written.

    Attributes:
        path: where.
        bytes: of the file.
        types: of its tensors, by their names in the file.
    """

    path: Path
    bytes: int
    types: Mapping[str, str]

    def histogram(self) -> dict[str, int]:
        """Return how many tensors there are of each type, most first."""
        return histogram(self.types.values())


@explained
@isolated()
def export_gguf(
    quantized: nn.Module,
    path: PathLike,
    *,
    source: PathLike,
    types: Sequence[str] = QUANTIZED,
) -> GgufExport:
    """Write a quantized network of transformers as a GGUF file that llama.cpp runs.

    The weights in the file dequantize to those of the network, bit for bit. Layers that are not
    quantized are stored exactly, in 16 bits where these hold them. llama.cpp computes no layers as
    one, so that q, k and v may have different types.

    Args:
        quantized: what `rlquant.quantize` or a search returned; a LlamaForCausalLM,
            Qwen2ForCausalLM, Qwen3ForCausalLM or Gemma3ForCausalLM. Every quantized layer has a
            choice that some type of ggml is, and float inputs; see `how-to/gguf.md`.
        path: file to write.
        source: a GGUF file of the same network, whose metadata and tokenizer are copied, or the
            folder of transformers that it was loaded from.
        types: of ggml that layers may have; where two hold the same choice, the first of them.

    Raises:
        UnknownNameError: no such type.
        NetworkError: the network, or a layer's choice, cannot be expressed; all such layers are
            named.
        SettingsError: the package gguf is not installed.
        DataError, FileFormatError: the source is damaged, of another network, or has no tokenizer.
        StorageError: the file cannot be written.
    """
    own_types = require_types(types)
    layers = quantized_layers(quantized)
    tensors = float_tensors(quantized, layers)
    plan = GgufPlan.of(quantized, tensors, source)
    chosen = _types(layers, own_types)
    parts: list[tuple[TensorInfo, Bytes]] = []
    for name, tensor in tensors.items():
        layer = name.removesuffix(".weight")
        if layer in chosen:
            data, own = chosen[layer].encode(layers[layer].weight.tensor), chosen[layer]
        else:
            offset = norm_offset(quantized, name)
            values = tensor.float() + offset if offset else tensor
            own = float_type(values)
            data = encode_floats(values, own)
        order = plan.rows.get(name)
        info = TensorInfo(plan.names[name], plan.shapes[name], own.number)
        parts.append((info, data if order is None else data[order]))
    parts += plan.copied
    out = path_of("path", path)
    header = encode_header(plan.metadata, ((info, data.size) for info, data in parts))
    content = b"".join((header, *(piece for _, data in parts for piece in _padded(data))))
    write_file(out, content)
    names = {each.number: each.name for each in TYPES.values()}
    return GgufExport(out, len(content), {i.name: names[i.type_number] for i, _ in parts})


def _fits(own: GgmlType, scale: Tensor | None) -> bool:
    return scale is not None and scale.dtype == own.number_dtype


def _padded(data: Bytes) -> tuple[bytes, bytes]:
    return data.tobytes(), bytes(padded(data.size) - data.size)


def _types(layers: Mapping[str, QuantizedLayer], types: Sequence[str]) -> dict[str, GgmlType]:
    """Return the type of every quantized layer; `NetworkError` names those that have none."""
    found, refused = {}, {}
    for name, layer in layers.items():
        own, tensor = type_of(layer.weight.choice, types), layer.weight.tensor
        reason = refusal(layer.weight.choice, tensor.codes.shape, types)
        if own is not None and reason is None and not _fits(own, tensor.scale):
            reason = "its scales do not fit float16"
        if own is None or reason is not None:
            refused[name] = reason
        else:
            found[name] = own
    if refused:
        first = [f"{name!r}: {reason}" for name, reason in list(refused.items())[:4]]
        raise NetworkError(
            f"{counted(len(refused), 'layer')} cannot be stored in a GGUF file: "
            f"{'; '.join(first)}; search "
            f"with the target gguf"
        )
    return found
