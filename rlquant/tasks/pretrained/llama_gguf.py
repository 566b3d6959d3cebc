"""A network of the Llama kind and its tokenizer out of a GGUF file, whatever its weight types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gguf import GGUFReader
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

LAYERS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Modules of a block: name in the file -> name in transformers."""
OTHERS = {"token_embd": ("model.embed_tokens", "lm_head"), "output_norm": ("model.norm",)}

CONTROL = 3
"""The kind of tokens that stand for no text."""


def open_gguf(path: Path) -> GGUFReader:
    """Return the reader of a file; it takes seconds, for the lists of tokens."""
    from gguf import GGUFReader

    return GGUFReader(path)


def empty_llama(config: LlamaConfig) -> LlamaForCausalLM:
    """Return a network in eval mode whose weights hold anything: random ones would take seconds."""
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        network = LlamaForCausalLM(config)
    network.to_empty(device="cpu")
    rotary = network.model.rotary_emb  # its angles are computed when it is made
    network.model.rotary_emb = type(rotary)(config)
    network.train(False)
    return network


def read_llama(reader: GGUFReader, config: LlamaConfig) -> LlamaForCausalLM:
    """Return the network in float32, in eval mode, its head tied to the embedding.

    Args:
        reader: of the file.
        config: of the network in it.
    """
    network = empty_llama(config)
    network.tie_weights()
    network.load_state_dict(dict(_tensors(reader, config)))
    return network


def _tensors(reader: GGUFReader, config: LlamaConfig) -> Iterator[tuple[str, Tensor]]:
    from gguf.quants import dequantize

    heads: Mapping[str, int | None] = {
        "attn_q": config.num_attention_heads,
        "attn_k": config.num_key_value_heads,
    }
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        stem, _, kind = tensor.name.rpartition(".")
        if not stem.startswith("blk."):
            yield from ((f"{name}.{kind}", weight) for name in OTHERS[stem])
            continue
        _, block, module = stem.split(".")
        count = heads.get(module)
        if count is not None:
            weight = _halves(weight, count)
        yield f"model.layers.{block}.{LAYERS[module]}.{kind}", weight


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Return rows of heads as transformers rotates them: pairs lie half a head apart.

    In the file the two rows of a pair are neighbours.
    """
    rows, columns = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)


def read_tokenizer(reader: GGUFReader) -> Tokenizer:
    """Return the byte-level BPE tokenizer of SmolLM: digits are tokens of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(pair.split(" ")) for pair in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens(control)
    return tokenizer
