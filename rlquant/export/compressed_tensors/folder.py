"""The files of a folder of transformers beside its weights: config.json, tokenizer, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from rlquant.documents import read_file, read_json
from rlquant.errors import DataError, FileFormatError, NetworkError, SettingsError
from rlquant.export.compressed_tensors.scheme import FORMAT, Scheme, config_groups
from rlquant.files import reading
from rlquant.paths import PathLike, path_of

CONFIG, WEIGHTS = "config.json", "model.safetensors"
COPIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What tokenizers and generation need; nothing that is executed."""
MOST_BYTES = 2**28
COMPARED = (
    *("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    "intermediate_size",
)
"""Fields in which a source must agree with the network."""


def require_transformers(network: nn.Module) -> None:
    """Raise `NetworkError` for a network that is none of transformers."""
    config: Any = getattr(network, "config", None)
    if not hasattr(config, "to_dict") or not getattr(config, "model_type", None):
        raise NetworkError(
            f"compressed-tensors are folders of transformers, whose networks have a config; this "
            f"{type(network).__name__} has none"
        )


def copied_files(source: Path | None) -> dict[str, bytes]:
    """Return the files of a source that are taken over as they are."""
    if source is None:
        return {}
    there = [name for name in COPIED if (source / name).is_file()]
    found = {}
    for name in there:
        with reading(source / name):
            found[name] = read_file(source / name, MOST_BYTES)
    return found


def source_of(source: PathLike | None, network: nn.Module) -> Path | None:
    """Return the source's path, once it is a folder of the same network.

    Raises:
        DataError: it is no folder of transformers.
        FileFormatError: its config.json is damaged.
        NetworkError: it is of another network.
    """
    if source is None:
        return None
    path = path_of("source", source)
    if not (path / CONFIG).is_file():
        raise DataError(f"source {path} has no {CONFIG}; give a folder that save_pretrained wrote")
    described, own = _described(path), network_config(network)
    for field in COMPARED:
        if field in described and field in own and described[field] != own[field]:
            raise NetworkError(
                f"source {path} is of another network: its {field} is "
                f"{str(described[field])[:60]!r}, this network's {own[field]!r}"
            )
    return path


def network_config(network: nn.Module) -> dict[str, Any]:
    """Return the configuration of a network of transformers."""
    config: Any = network.config
    found: dict[str, Any] = config.to_dict()
    return found


def config_text(
    network: nn.Module,
    source: Path | None,
    schemes: Mapping[str, Scheme],
    ignored: Sequence[str],
) -> str:
    """Return config.json: that of the source, else of the network, with what is quantized.

    Args:
        network: of transformers.
        source: folder of the same network.
        schemes: of the quantized layers.
        ignored: names of layers of their class that stay float.
    """
    config = network_config(network) if source is None else _described(source)
    config.pop("torch_dtype", None)
    own = {
        "architectures": [type(network).__name__],
        "dtype": "float32",
        "tie_word_embeddings": has_tied_head(network),
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": FORMAT,
            "quantization_status": "compressed",
            "config_groups": config_groups(schemes),
            "ignore": list(ignored),
            "kv_cache_scheme": None,
            "global_compression_ratio": None,
        },
    }
    return json.dumps({**config, **own}, indent=2, sort_keys=True, allow_nan=False) + "\n"


def has_tied_head(network: nn.Module) -> bool:
    """Return whether the head of a language model computes with the embedding's weight."""
    known: Any = network
    try:
        head, embedding = known.get_output_embeddings(), known.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return False
    if head is None or embedding is None:
        return bool(getattr(known.config, "tie_word_embeddings", False))
    if not isinstance(head, nn.Linear):  # `SharedHead`, which asks the embedding
        return True
    return head.weight is embedding.weight


def require_place(folder: Path, source: Path | None) -> None:
    """Raise `SettingsError` for a folder in which weights of something else would be read too."""
    if source is not None and folder.resolve() == source.resolve():
        raise SettingsError(f"folder {folder} is the source; give another one")
    others = [path.name for path in folder.glob("*.safetensors*") if path.name != WEIGHTS]
    if others:
        raise SettingsError(
            f"folder {folder} has other weights ({', '.join(sorted(others)[:3])}), which are read "
            f"beside {WEIGHTS}; give an empty folder"
        )


def _described(source: Path) -> dict[str, Any]:
    with reading(source / CONFIG):
        found = read_json(source / CONFIG)
        if not isinstance(found, dict):
            raise FileFormatError("it describes no network of transformers")
    return found
