"""A GGUF file with the same weights in 32 bits, for which llama.cpp does not round inputs."""

from __future__ import annotations

from pathlib import Path

from rlquant.gguf.container import ALIGNMENT, GgufFile, TensorInfo, encode_header, padded
from rlquant.gguf.ggml_types import TYPES


def write_in_floats(source: Path, out: Path) -> None:
    """Write the network of a GGUF file with every tensor in F32, whatever its type is there.

    The kernels of llama.cpp for quantized types round the inputs of a layer to 8 bits, those for
    F32 do not. So what it answers to `out` differs from its answers to `source` by that alone.

    Args:
        source: what is read.
        out: what is written, one tensor after the other.

    Raises:
        FileFormatError: the source is damaged.
    """
    file, own = GgufFile.open(source), TYPES["F32"]
    infos = [TensorInfo(i.name, i.shape, own.number) for i in file.tensors.values()]
    metadata = {k: v for k, v in file.metadata.items() if k != "general.alignment"}
    with out.open("wb") as written:
        sizes = ((info, file.floats(info.name).nbytes) for info in infos)
        written.write(encode_header(metadata, sizes))
        for info in infos:
            data = file.floats(info.name).tobytes()
            written.write(data + bytes(padded(len(data), ALIGNMENT) - len(data)))
