"""What llama.cpp takes in memory beside the file: the cache of keys and values, and buffers."""

from __future__ import annotations

from typing import Any

from torch import nn

from rlquant.gguf.architecture import head_size

BATCH = 512
"""Tokens that are computed together (llama.cpp's `--ubatch-size`)."""
CACHE_BYTES, BUFFER_BYTES = 2, 4
"""Of a number: caches are F16, buffers F32."""
PROGRAM_BYTES = 2**25
"""Of the program itself: tables of the vocabulary, and what else does not grow."""


def memory_beside_file(network: nn.Module, context: int) -> int:
    """Return the bytes that a file's network takes beside the file.

    Keys and values of `context` tokens in 16 bits, and of 512 tokens at a time two buffers of
    logits (one in which they are computed, one that is handed out) and the activations of a block,
    in 32 bits; 32 MiB for the program.

    Args:
        network: that `architecture_of` knows.
        context: tokens.
    """
    config: Any = network.config
    of_token = 2 * config.num_hidden_layers * config.num_key_value_heads * head_size(network)
    buffers = 2 * config.vocab_size + 6 * config.hidden_size + 3 * config.intermediate_size
    own = context * of_token * CACHE_BYTES + BATCH * buffers * BUFFER_BYTES
    return int(own) + PROGRAM_BYTES
