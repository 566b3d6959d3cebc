"""The three tasks on the real files of their packages, where those are installed."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from rlquant.errors import DataError
from rlquant.tasks import load
from rlquant.tasks.pretrained import efficientnet_lite, minilm, smollm2
from rlquant.tasks.pretrained.package_files import PackageFile
from rlquant.tasks.pretrained.texts import C4, WIKI


def needs(*files: PackageFile) -> pytest.MarkDecorator:
    try:
        for file in files:
            file.find()
    except DataError as error:
        return pytest.mark.skip(reason=str(error))
    return pytest.mark.slow


def rows(part: Any) -> set[bytes]:
    return {row.numpy().tobytes() for row in part["input_ids"]}


def require_disjoint(task: Any, counts: list[int]) -> None:
    parts = [rows(part) for part in (task.train, task.validation, task.test)]
    assert [len(part) for part in parts] == counts
    assert not any(a & b for a, b in combinations(parts, 2))


@needs(smollm2.FILE, WIKI, C4)
def test_smollm2_is_the_published_network_off_its_grid(tmp_path: Path) -> None:
    task: Any = load("smollm2-135m", cache=tmp_path)
    require_disjoint(task, [128, 16, 32])
    tokens = task.validation["input_ids"][:2]
    network: Any = task.network
    assert not network.config.tie_word_embeddings
    reader = smollm2.open_gguf(smollm2.FILE.find())
    published: Any = smollm2.read_llama(reader, smollm2._config(tied=True))
    with torch.no_grad():
        found, expected = network(tokens).logits, published(tokens).logits
    assert float((found - expected).abs().max()) < 2e-4
    again: Any = load("smollm2-135m", cache=tmp_path).network
    pairs = zip(network.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@needs(minilm.WEIGHTS, minilm.TOKENIZER, WIKI, C4)
def test_minilm_embeds_alike_what_means_the_same(tmp_path: Path) -> None:
    task = load("minilm-l6", cache=tmp_path)
    require_disjoint(task, [256, 256, 512])
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(minilm.TOKENIZER.find()))
    texts = ["A man is eating food.", "Somebody eats a meal.", "The stock market fell."]
    with torch.no_grad():
        embeddings = task.network(**minilm.encoded(tokenizer, texts, 3))
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3))
    similar = embeddings @ embeddings.T
    assert similar[0, 1] > 0.5 > 0.2 > similar[0, 2]


@needs(efficientnet_lite.WEIGHTS)
@pytest.mark.skipif("RLQUANT_DATA" not in os.environ, reason="needs photographs: RLQUANT_DATA")
def test_efficientnet_lite_knows_photographs(tmp_path: Path) -> None:
    task: Any = load("efficientnet-lite0", cache=tmp_path)
    assert [len(part[1]) for part in (task.train, task.validation)] == [256, 300]
    inputs, targets = (tensor[:50] for tensor in task.validation)
    with torch.no_grad():
        assert float((task.network(inputs).argmax(dim=1) == targets).float().mean()) > 0.7
