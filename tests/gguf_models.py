"""Tiny random decoders with a byte-level tokenizer, in folders and as GGUF files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

CLASSES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma3": "Gemma3"}
CONFIGS = {**CLASSES, "gemma3": "Gemma3Text"}
OWN: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 128},  # which transformers' reader takes for granted
    "gemma3": {  # the sixth block has no window; the scale of queries is taken for granted, too
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "num_hidden_layers": 6,
        "sliding_window": 8,
    },
}


def tiny_network(kind: str = "llama", *, tied: bool = False, seed: int = 0) -> Any:
    """A decoder of two blocks (Gemma: six) with rows of 64, its weights random."""
    import transformers

    fields: dict[str, Any] = {
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 0, "use_cache": False,
    }  # fmt: skip
    config = getattr(transformers, f"{CONFIGS[kind]}Config")(**{**fields, **OWN.get(kind, {})})
    torch.manual_seed(seed)
    network = getattr(transformers, f"{CLASSES[kind]}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # norms and biases too are no ones and zeros
            parameter.copy_(parameter + 0.05 * torch.randn(parameter.shape))
    return network


def read_network(path: Path) -> Any:
    """The network of a GGUF file, as the reader of transformers itself makes it."""
    import transformers
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    described = load_gguf_checkpoint(str(path))["config"]
    kind = described["model_type"].removesuffix("_text")
    config = getattr(transformers, f"{CONFIGS[kind]}Config")(**described)
    network = getattr(transformers, f"{CLASSES[kind]}ForCausalLM")(config).eval()
    read = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=network)["tensors"]
    left = network.load_state_dict(read, strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= {"lm_head.weight"}
    return network


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of bytes, some pairs and one control token."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "a")]
    tokens = ["<|endoftext|>", *alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        chat_template="{{ raise_exception('never rendered') }}",
    ).save_pretrained(folder)


def save_model(folder: Path, kind: str = "llama", *, tied: bool = False) -> Path:
    """Write a network and its tokenizer."""
    tiny_network(kind, tied=tied).save_pretrained(folder)
    save_tokenizer(folder)
    return folder
