"""Decoders of the Llama kind in GGUF files: names of tensors, orders of rows, hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.errors import FileFormatError, NetworkError, SettingsError
from rlquant.gguf.unstated import FULL, GEMMA3, Unstated
from rlquant.gguf.values import encode
from rlquant.pasting import install

EXTRA = "'rlquant[gguf]'"


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a GGUF file says of networks of one kind.

    Attributes:
        name: in files.
        network: class in transformers.
        pairs: whether the two rows of q and k that are rotated together are neighbours in files; in
            transformers they always lie half a head apart.
        head_size: whether the size of a head is stated, as it does not follow from the others.
        norm_offset: what files add to the weights of normalisations.
        unstated: what llama.cpp takes for granted of blocks that attend to the last tokens alone;
            None where all attend to all tokens.
    """

    name: str
    network: str
    pairs: bool = False
    head_size: bool = False
    norm_offset: float = 0.0
    unstated: Unstated | None = None

    @property
    def hyperparameters(self) -> Mapping[str, tuple[str, str]]:
        """Key behind the architecture -> its type, and the name in transformers."""
        return {**HYPERPARAMETERS, **(WINDOW if self.unstated else {})}


ARCHITECTURES: Mapping[str, Architecture] = {
    each.name: each
    for each in (
        Architecture("llama", "LlamaForCausalLM", pairs=True),
        Architecture("qwen2", "Qwen2ForCausalLM"),
        Architecture("qwen3", "Qwen3ForCausalLM", head_size=True),
        Architecture(
            "gemma3", "Gemma3ForCausalLM", head_size=True, norm_offset=1.0, unstated=GEMMA3
        ),
    )
}
HYPERPARAMETERS = {
    "context_length": ("uint32", "max_position_embeddings"),
    "embedding_length": ("uint32", "hidden_size"),
    "block_count": ("uint32", "num_hidden_layers"),
    "feed_forward_length": ("uint32", "intermediate_size"),
    "attention.head_count": ("uint32", "num_attention_heads"),
    "attention.head_count_kv": ("uint32", "num_key_value_heads"),
    "attention.layer_norm_rms_epsilon": ("float32", "rms_norm_eps"),
}
"""Of all architectures: key behind the architecture -> its type, and the name in transformers."""
WINDOW = {"attention.sliding_window": ("uint32", "sliding_window")}
"""Of architectures whose blocks attend to the last tokens alone: the same of how many."""
THETA = "rope.freq_base"


def require_gguf() -> None:
    """Raise `SettingsError` where the package gguf is not installed."""
    if find_spec("gguf") is None:
        raise SettingsError(f"GGUF files need the package gguf: run `{install(EXTRA)}`")


def architecture_of(network: nn.Module) -> Architecture:
    """Return the architecture of a network of transformers.

    Raises:
        NetworkError: none of `ARCHITECTURES`, or with positions that are scaled.
    """
    config: Any = getattr(network, "config", None)
    by_class = {each.network: each for each in ARCHITECTURES.values()}
    own = by_class.get(type(network).__name__)
    if own is None or config is None:
        raise NetworkError(
            f"a GGUF file holds networks of transformers of the classes {', '.join(by_class)}; "
            f"this one is a {type(network).__name__}"
        )
    for field in ("attention_bias", "mlp_bias", "use_bidirectional_attention"):
        if getattr(config, field, False):
            raise NetworkError(f"a GGUF file has no place for what {field}=True adds")
    if own.unstated is not None:
        own.unstated.require(config)
    return own


def named_architecture(name: Any) -> Architecture:
    """Return the architecture that a file names; `FileFormatError` for one that is not known."""
    if name not in ARCHITECTURES:
        raise FileFormatError(
            f"it holds a network of the architecture {str(name)[:60]!r}; use one of "
            f"{tuple(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def hyperparameters(network: nn.Module, *, scaled: bool = False) -> dict[str, bytes]:
    """Return the metadata that say what a network is, encoded, its architecture first.

    Args:
        network: that `architecture_of` knows.
        scaled: whether positions may be scaled, as somebody else says by what.

    Raises:
        NetworkError: positions are scaled.
    """
    own, config = architecture_of(network), _config(network)
    found = {"general.architecture": encode("string", own.name)}
    for key, (kind, field) in own.hyperparameters.items():
        found[f"{own.name}.{key}"] = encode(kind, getattr(config, field))
    rope = config.rope_parameters[FULL] if own.unstated else config.rope_parameters
    if rope.get("rope_type", "default") != "default" and not scaled:
        raise NetworkError(
            f"positions are scaled ({rope['rope_type']}), which only a GGUF file of the same "
            f"network can say: give that as the source"
        )
    found[f"{own.name}.{THETA}"] = encode("float32", float(rope["rope_theta"]))
    size = head_size(network)
    found[f"{own.name}.rope.dimension_count"] = encode("uint32", size)
    if own.head_size:
        for key in ("key_length", "value_length"):
            found[f"{own.name}.attention.{key}"] = encode("uint32", size)
    found[f"{own.name}.vocab_size"] = encode("uint32", config.vocab_size)
    return found


def head_size(network: nn.Module) -> int:
    """Return the rows of q that a head has."""
    config = _config(network)
    own: int | None = getattr(config, "head_dim", None)
    return own or config.hidden_size // config.num_attention_heads


def vocabulary_size(network: nn.Module) -> int:
    """Return the rows of the embedding."""
    size: int = _config(network).vocab_size
    return size


def file_names(network: nn.Module, names: list[str]) -> dict[str, str]:
    """Return what tensors are named in a file, by their names in the network.

    Raises:
        NetworkError: a tensor that the architecture does not have.
    """
    from gguf import MODEL_ARCH, get_tensor_name_map

    arch = MODEL_ARCH[architecture_of(network).name.upper()]
    known = get_tensor_name_map(arch, _config(network).num_hidden_layers)
    found = {name: known.get_name(name, try_suffixes=(".weight", ".bias")) for name in names}
    unknown = [name for name, of_file in found.items() if of_file is None]
    if unknown:
        raise NetworkError(f"a GGUF file has no place for the tensors {unknown[:4]}")
    return {name: str(of_file) for name, of_file in found.items()}


def rows_in_file(network: nn.Module, name: str) -> npt.NDArray[np.int64] | None:
    """Return which row of a tensor each row of the file is, None where they are in order.

    Args:
        network: that `architecture_of` knows.
        name: of the tensor, in the network.
    """
    config = _config(network)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2] if "." in name else "")
    if count is None or not architecture_of(network).pairs:
        return None
    return pair_order(count, head_size(network))


def norm_offset(network: nn.Module, name: str) -> float:
    """Return what a file adds to a tensor, given its name in the network."""
    is_norm = name.endswith("norm.weight")
    return architecture_of(network).norm_offset if is_norm else 0.0


def pair_order(heads: int, size: int) -> npt.NDArray[np.int64]:
    """Return the rows of heads in the order of files: the two of a pair are neighbours.

    Args:
        heads: how many.
        size: rows of one; the rows of a pair lie half of it apart.
    """
    rows = np.arange(heads * size).reshape(heads, 2, size // 2)
    return rows.swapaxes(1, 2).reshape(-1)


def _config(network: nn.Module) -> Any:
    return network.config
