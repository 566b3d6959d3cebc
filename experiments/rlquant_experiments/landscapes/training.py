"""Brief training of small networks, on bytes of English text or on digits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant.tasks.pretrained.texts import load_documents
from rlquant.tasks.registry import load_data
from rlquant_experiments.landscapes.networks import LENGTH, VOCABULARY, Data, SmallNetwork

STEPS, BATCH, RATE, WARM_UP = 200, 16, 3e-3, 0.1
"""AdamW's; the rate rises over the first tenth of the steps and falls to nothing."""
MASK, MASKED = 0, 0.15
"""The byte that stands for a masked one, and how many are."""
SAMPLES = {"text": 24, "masked": 24, "images": 192}
"""Validation samples of an evaluation; of texts each has `LENGTH` units."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Inputs and targets that evaluations take: of training samples and of others."""

    train: tuple[Any, Tensor]
    validation: tuple[Any, Tensor]


def train(network: nn.Module, kind: SmallNetwork, steps: int = STEPS) -> float:
    """Train a network in place; returns the mean loss of the last tenth of the steps.

    Nothing but the network's seed and the steps decide, on the same machine.
    """
    draws = np.random.default_rng(kind.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=WARM_UP
    )
    network.train()
    losses = []
    for _ in range(steps):
        loss = _loss(network, kind.data, draws)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    network.eval()
    return float(np.mean(losses[-steps // 10 :]))


def parts_of(kind: SmallNetwork) -> Parts:
    """Return the samples of a network's evaluations; of texts the targets do not count."""
    count = SAMPLES[kind.data]
    if kind.data == "images":
        splits = load_data("digits")
        (inputs, targets), (others, labels) = splits.train, splits.validation
        return Parts((inputs[: 2 * count], targets[: 2 * count]), (others[:count], labels[:count]))
    draws = np.random.default_rng(kind.seed + 1000)
    return Parts(_tokens("train", 6 * count, draws), _tokens("validation", count, draws))


def _tokens(part: str, count: int, draws: np.random.Generator) -> tuple[Any, Tensor]:
    found = passages(part, count, draws)
    return {"input_ids": found}, torch.zeros(count, dtype=torch.long)


def _loss(network: nn.Module, data: Data, draws: np.random.Generator) -> Tensor:
    if data == "images":
        images, labels = load_images()
        taken = torch.from_numpy(draws.integers(len(labels), size=2 * BATCH))
        outputs = network(images[taken])
        return functional.cross_entropy(getattr(outputs, "logits", outputs), labels[taken])
    tokens = passages("train", BATCH, draws)
    if data == "text":
        logits, targets = network(input_ids=tokens[:, :-1]).logits, tokens[:, 1:]
        return functional.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))
    masked = torch.from_numpy(draws.random(tokens.shape) < MASKED)
    logits = network(input_ids=tokens.masked_fill(masked, MASK)).logits
    return functional.cross_entropy(logits[masked], tokens[masked])


@cache
def load_images() -> tuple[Tensor, Tensor]:
    """Return the digits to train on, and their labels."""
    return load_data("digits").train


def passages(part: str, count: int, draws: np.random.Generator) -> Tensor:
    """Return passages of bytes from anywhere, int64, shape `(count, LENGTH)`."""
    text = _text(part)
    begins = draws.integers(len(text) - LENGTH, size=count)
    return torch.stack([text[begin : begin + LENGTH] for begin in begins.tolist()])


@cache
def _text(part: str) -> Tensor:
    data = "\n".join(load_documents()[part]).encode()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).long()
