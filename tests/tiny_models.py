"""Tiny random networks of transformers in folders, with a tokenizer of words."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

WORDS = ("the", "cat", "dog", "sat", "on", "a", "mat", "and", "ran", "away")


def text_of(words: int) -> str:
    """Return random lines of five words each, always the same."""
    chosen = random.Random(0).choices(WORDS, k=words)
    return "\n".join(" ".join(chosen[i : i + 5]) for i in range(0, words, 5))


def save_llama(folder: Path) -> Path:
    """Write a language model of two blocks."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return _save(transformers.LlamaForCausalLM(config), folder)


def save_bert(folder: Path) -> Path:
    """Write an encoder of one block."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=4,
    )  # fmt: skip
    return _save(transformers.BertModel(config), folder)


def _save(network: Any, folder: Path) -> Path:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    network.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
