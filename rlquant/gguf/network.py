"""A network of transformers out of a GGUF file, whatever the types of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.errors import FileFormatError
from rlquant.files import reading
from rlquant.gguf.architecture import (
    THETA,
    Architecture,
    file_names,
    named_architecture,
    norm_offset,
    require_gguf,
    rows_in_file,
)
from rlquant.gguf.container import GgufFile

MOST = 2**31
"""No hyperparameter is larger, and no file holds such a tensor: what is made has its tensors."""
NEVER_READ = ("rope_freqs.weight",)


def read_network(file: GgufFile) -> nn.Module:
    """Return the network in float32, in eval mode; its head is tied where the file has none.

    Raises:
        FileFormatError: another architecture than `ARCHITECTURES`, hyperparameters that do not fit
            the tensors, or types of weights that the package gguf cannot read.
        SettingsError: gguf is not installed.
    """
    require_gguf()
    with reading(file.path):
        own = named_architecture(file.value("general.architecture"))
        config = configuration(file, own)
        network = _without_data(own.network, config)
        names = file_names(network, list(network.state_dict()))
        missing = sorted(set(names.values()) - set(file.tensors) - {"output.weight"})
        extra = sorted(set(file.tensors) - set(names.values()) - set(NEVER_READ))
        if missing or extra:
            raise FileFormatError(
                f"its tensors are not those of such a network: {missing[:3]} are missing, "
                f"{extra[:3]} are not known"
            )
        wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        for name, of_file in names.items():
            info = file.tensors.get(of_file)
            if info is not None and info.shape != wanted[name]:
                raise FileFormatError(f"tensor {of_file!r} is of shape {info.shape}")
    network = empty_network(own.network, config)
    if "output.weight" not in file.tensors:
        network.tie_weights()  # type: ignore[operator]
        names.pop("lm_head.weight", None)
    network.load_state_dict(dict(_tensors(file, network, names)), strict=False)
    return network


def configuration(file: GgufFile, own: Architecture) -> Any:
    """Return the configuration of transformers; `FileFormatError` for one that cannot be."""
    import transformers

    found: dict[str, Any] = {}
    for key, (kind, field) in own.hyperparameters.items():
        value = file.value(f"{own.name}.{key}")
        number = isinstance(value, float if kind == "float32" else int)
        if not number or isinstance(value, bool) or not 0 < value < MOST:
            raise FileFormatError(f"its {own.name}.{key} is {str(value)[:40]}")
        found[field] = value
    if found["num_hidden_layers"] > len(file.tensors):
        raise FileFormatError(f"it has {len(file.tensors)} tensors for more layers")
    if found["hidden_size"] % found["num_attention_heads"]:
        raise FileFormatError("its heads do not divide its embedding")
    for key in (f"{own.name}.rope.scaling.type", "rope_freqs.weight"):
        if key in file.metadata or key in file.tensors:
            raise FileFormatError(f"its positions are scaled ({key}), which is not read")
    theta = _optional(file, f"{own.name}.{THETA}", 10_000.0)
    size = _optional(file, f"{own.name}.attention.key_length", None)
    if own.head_size and size is not None:
        found["head_dim"] = size
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if own.unstated is not None:
        found |= own.unstated.fields(found["num_hidden_layers"], found.get("head_dim"))
        rope = own.unstated.rotations(rope)
    config: Any = getattr(transformers, own.network).config_class
    return config(
        **found,
        vocab_size=_vocabulary(file),
        rope_parameters=rope,
        tie_word_embeddings="output.weight" not in file.tensors,
        use_cache=False,
        bos_token_id=_optional(file, "tokenizer.ggml.bos_token_id", None),
        eos_token_id=_optional(file, "tokenizer.ggml.eos_token_id", None),
        pad_token_id=None,
    )


def _vocabulary(file: GgufFile) -> int:
    if "token_embd.weight" not in file.tensors:
        raise FileFormatError("it has no embedding (token_embd.weight)")
    return file.tensors["token_embd.weight"].shape[0]


def _optional(file: GgufFile, key: str, default: Any) -> Any:
    found = file.value(key) if key in file.metadata else default
    if found is not default and not (isinstance(found, (int, float)) and 0 <= found < MOST):
        raise FileFormatError(f"its {key} is {str(found)[:40]}")
    return found


def empty_network(name: str, config: Any) -> nn.Module:
    """Return a network in eval mode whose weights hold anything: random ones would take seconds.

    Args:
        name: of its class in transformers, one of those of `ARCHITECTURES`.
        config: of transformers.
    """
    network = _without_data(name, config)
    network.to_empty(device="cpu")
    known: Any = network
    rotary = known.model.rotary_emb  # its angles are computed when it is made
    known.model.rotary_emb = type(rotary)(config)
    embedding = known.model.embed_tokens
    if hasattr(embedding, "embed_scale"):  # what Gemma multiplies it by
        embedding.embed_scale = torch.tensor(embedding.scalar_embed_scale)
    return network.eval()


def _without_data(name: str, config: Any) -> nn.Module:
    import transformers

    try:
        with torch.device("meta"):
            network: nn.Module = getattr(transformers, name)(config)
    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(f"transformers makes no network of it: {reason}") from error
    return network


def _tensors(
    file: GgufFile, network: nn.Module, names: dict[str, str]
) -> Iterator[tuple[str, Tensor]]:
    for name, of_file in names.items():
        values = file.floats(of_file)
        rows = rows_in_file(network, name)
        if rows is not None:
            in_order = np.empty_like(values)
            in_order[rows] = values
            values = in_order
        values -= norm_offset(network, name)
        yield name, torch.from_numpy(np.ascontiguousarray(values))
