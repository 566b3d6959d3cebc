"""Networks of nobody's list: a Llama- and a ViT-like one, trained for the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rlquant.data import Data
from rlquant.tasks import Task
from rlquant.tasks.registry import load_data
from rlquant_experiments.landscapes.measuring import trained
from rlquant_experiments.landscapes.networks import LABELS, SmallNetwork
from rlquant_experiments.landscapes.training import passages

STEPS = 1000
"""Of training."""
PASSAGES = {"train": 256, "validation": 128, "test": 512}
"""Of text, `landscapes.networks.LENGTH` bytes each."""
MADE: Mapping[str, SmallNetwork] = {
    kind.name: kind
    for kind in (
        SmallNetwork("llama", 8, 128, 101),
        SmallNetwork("vit", 8, 128, 103, LABELS),
    )
}
"""By name. Nothing was tuned or trained on them: they are larger than all of
`landscapes.networks.NETWORKS`, and of other seeds. A BERT-like one, of 8 blocks of 128 units, does
not learn in so many steps: its embeddings are alike, whatever the text."""


def load_made(name: str, folder: Path) -> Task:
    """Return the task of such a network.

    Args:
        name: of `MADE`.
        folder: keeps its weights; it is trained where they are not there yet.
    """
    kind = MADE[name]
    network = kind.measured(trained(kind, folder / f"{name}.safetensors", STEPS))
    train, validation, test = _data(kind)
    return Task(name, network, train, validation, test, objective=kind.objective)


def _data(kind: SmallNetwork) -> tuple[Data, Data, Data]:
    """Return the samples to train and calibrate, to validate and to test."""
    if kind.data == "images":
        splits = load_data("digits")
        return splits.train, splits.validation, splits.test
    draws = np.random.default_rng(kind.seed)
    train, validation, test = (_texts(part, count, draws) for part, count in PASSAGES.items())
    return train, validation, test


def _texts(part: str, count: int, draws: np.random.Generator) -> dict[str, Tensor]:
    found: Any = passages(part, count, draws)
    return {"input_ids": found}
