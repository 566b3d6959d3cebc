"""Language models in GGUF files, and importance matrices: valid ones, and readers that check."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.cost.file_layout import stored_tensors
from rlquant.files import write_file
from rlquant.gguf.container import GgufFile, TensorInfo, encode_header, padded
from rlquant.gguf.imatrix import COUNTS, SUMS, read_imatrix
from rlquant.gguf.network import read_network
from rlquant.gguf.plan import GgufPlan
from rlquant.gguf.tokenizer import read_tokenizer
from rlquant.gguf.values import encode
from rlquant.layers import find_layers
from rlquant_experiments.faults.campaign import require
from rlquant_experiments.faults.mutations import CANARY

TOKENS = torch.arange(8)[None]
LAYERS = tuple(f"model.layers.0.mlp.{name}_proj" for name in ("gate", "up", "down"))
TEMPLATE = f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}{{% include '{CANARY}' %}}"


def network() -> Any:
    """Return a small decoder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    widths: dict[str, Any] = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 64}
    counts: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    limits: dict[str, Any] = {"max_position_embeddings": 64, "tie_word_embeddings": False}
    torch.manual_seed(0)
    made: Any = LlamaForCausalLM(LlamaConfig(**widths, **counts, **limits))
    return made.eval()


def write_gguf(folder: Path) -> None:
    """Write a file with weights of several types, and a template that nobody must render."""
    choices = zip(LAYERS, ("signed_scale", "iq4_nl", "affine_step"), strict=True)
    config = QuantizationConfig(
        tuple(LayerChoice(layer, 4, points=p, group_size=32) for layer, p in choices)
    )
    with TemporaryDirectory(dir=folder.parent) as source:
        _write_tokenizer(source)
        quantized = rlquant.quantize(network(), config)
        rlquant.export_gguf(quantized, folder / "model.gguf", source=source)


def read_gguf(folder: Path) -> None:
    """Read network and tokenizer, and take the file as the source of another one."""
    path = folder / "model.gguf"
    file = GgufFile.open(path)
    with torch.no_grad():
        logits = read_network(file)(TOKENS).logits
    require(logits.shape[:2] == TOKENS.shape, f"logits of shape {tuple(logits.shape)}")
    read_tokenizer(file).encode("the cat")
    own = network()
    plan = GgufPlan.of(own, stored_tensors(own), path)
    require(plan.fixed_bytes(()) > 0, "a file of no bytes")


def write_imatrix(folder: Path) -> None:
    """Write importances of the layers of one block."""
    names = {"gate": 32, "up": 32, "down": 64}
    parts = [
        part
        for name, inputs in names.items()
        for part in (
            (TensorInfo(f"blk.0.ffn_{name}.weight{SUMS}", (1, inputs), 0), np.ones(inputs)),
            (TensorInfo(f"blk.0.ffn_{name}.weight{COUNTS}", (1, 1), 0), np.ones(1)),
        )
    ]
    metadata = {"general.type": encode("string", "imatrix")}
    header = encode_header(metadata, ((info, 4 * values.size) for info, values in parts))
    data = [struct.pack(f"<{values.size}f", *values) for _, values in parts]
    body = b"".join(each + bytes(padded(len(each)) - len(each)) for each in data)
    write_file(folder / "imatrix.gguf", header + body)


def read_importances(folder: Path) -> None:
    """Read importances of the layers."""
    own = network()
    found = read_imatrix(folder / "imatrix.gguf", own, find_layers(own, {"input_ids": TOKENS}))
    for layer, squares in found.items():
        require(bool(torch.isfinite(squares).all()), f"importances of {layer} are not finite")
        require(bool((squares >= 0).all()), f"importances of {layer} are negative")


def _write_tokenizer(folder: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    tokens = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    splits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    saved = fast(tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=TEMPLATE)
    saved.save_pretrained(folder)
