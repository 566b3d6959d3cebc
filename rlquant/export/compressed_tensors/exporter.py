"""`export_compressed_tensors`: write a quantized network as a folder of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.counted import counted
from rlquant.errors import NetworkError
from rlquant.export.compressed_tensors.folder import (
    CONFIG,
    WEIGHTS,
    config_text,
    copied_files,
    require_place,
    require_transformers,
    source_of,
)
from rlquant.export.compressed_tensors.scheme import LINEAR, Scheme, exact_refusal, refusal
from rlquant.export.compressed_tensors.tensor_file import (
    encode_tensors,
    header_bytes_at_most,
    stored_float,
)
from rlquant.export.histogram import histogram
from rlquant.export.quantized_layers import QuantizedLayer, float_tensors, quantized_layers
from rlquant.files import make_folder, write_file
from rlquant.paths import PathLike, path_of
from rlquant.weight_sites import WeightSite, weight_sites


@dataclass(frozen=True, slots=True)
class CompressedTensorsExport:
    """A folder of transformers that was written.

    Attributes:
        folder: where.
        bytes: of model.safetensors.
        schemes: how the quantized layers are stored, by name, in words.
    """

    folder: Path
    bytes: int
    schemes: Mapping[str, str]

    def histogram(self) -> dict[str, int]:
        """Return how many layers there are of each scheme, most first."""
        return histogram(self.schemes.values())


@explained
@isolated()
def export_compressed_tensors(
    quantized: nn.Module, folder: PathLike, *, source: PathLike | None = None
) -> CompressedTensorsExport:
    """Write a quantized network of transformers as a folder that transformers and vLLM load.

    The weights that compressed-tensors makes of the folder in float32 are those of the network, bit
    for bit. The same network gives the same bytes. What stays float is stored exactly, in 16 bits
    where these hold it.

    vLLM computes q, k and v as one layer, and gate and up: they must have the same scheme there.
    The target `CompressedTensorsTarget` ties them; a folder in which they differ is written too.

    Args:
        quantized: what `rlquant.quantize` or a search returned, of a class of transformers. Every
            quantized layer is an nn.Linear of 2 to 8 bits with points "clipped", "symmetric" or
            "zero_point", one scale a channel or in whole groups, float inputs.
        folder: where to; files of the same names are replaced.
        source: the folder of transformers that the network was loaded from: its configuration and
            tokenizer are taken over. None writes the configuration of the network, no tokenizer.

    Raises:
        NetworkError: the network, or a layer's choice, cannot be expressed; all such layers are
            named.
        DataError, FileFormatError: the source is damaged or no folder of transformers.
        SettingsError: the folder has weights of another network, or is the source.
        StorageError: a file cannot be written.
    """
    layers = quantized_layers(quantized)
    require_transformers(quantized)
    tensors = float_tensors(quantized, layers)
    schemes = _schemes(layers)
    place, origin = path_of("folder", folder), source_of(source, quantized)
    require_place(place, origin)
    sites = weight_sites(quantized)
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = name.removesuffix(".weight")
        if layer in schemes:
            parts = schemes[layer].tensors(layers[layer].weight.tensor)
            stored |= {f"{layer}.{part}": each for part, each in parts.items()}
        else:
            stored[name] = stored_float(tensor)
    head = header_bytes(tensors, sites)
    content = b"".join(encode_tensors(stored, head))
    ignored = [name for name in packable(sites) if name not in schemes]
    make_folder(place)
    for name, copied in copied_files(origin).items():
        write_file(place / name, copied)
    write_file(place / CONFIG, config_text(quantized, origin, schemes, ignored))
    write_file(place / WEIGHTS, content)
    return CompressedTensorsExport(
        place, len(content), {name: scheme.label for name, scheme in schemes.items()}
    )


def packable(sites: Mapping[str, WeightSite]) -> list[str]:
    """Return the names of the layers whose weights can be stored packed, whatever their choice."""
    return [name for name, site in sites.items() if site.kind == LINEAR]


def header_bytes(tensors: Mapping[str, Tensor], sites: Mapping[str, WeightSite]) -> int:
    """Return the bytes of the header of a network's file, whatever is chosen for its layers."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    linear = {f"{name}.weight" for name in packable(sites)} & shapes.keys()
    return header_bytes_at_most(shapes, linear)


def _schemes(layers: Mapping[str, QuantizedLayer]) -> dict[str, Scheme]:
    """Return the scheme of every quantized layer; `NetworkError` names those that have none."""
    found, refused = {}, {}
    for name, layer in layers.items():
        choice, tensor = layer.weight.choice, layer.weight.tensor
        reason = refusal(choice, layer.site.kind, tensor.codes.shape)
        if reason is None:
            assert tensor.scale is not None
            found[name] = Scheme.of(choice)
            reason = exact_refusal(found[name], tensor.scale.dtype)
        if reason is not None:
            refused[name] = reason
    if refused:
        first = [f"{name!r}: {reason}" for name, reason in list(refused.items())[:4]]
        raise NetworkError(
            f"{counted(len(refused), 'layer')} cannot be stored as compressed-tensors: "
            f"{'; '.join(first)}; "
            f"search with the target compressed-tensors"
        )
    return found
