"""A network of a search as a GGUF file, with a model card beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlquant import Score, export_gguf, measure
from rlquant.export.quantized_layers import quantized_layers
from rlquant.files import write_file
from rlquant.tasks import Task
from rlquant_agents.cli.hints import near
from rlquant_agents.reporting.model_card import ModelCard, card_path

GGUF_FILE = "model.gguf"


@dataclass(frozen=True, kw_only=True)
class GgufCommand:
    """What is written of a network, and what its card says.

    Attributes:
        network: what a search found.
        source: whose tokenizer and metadata the file gets.
        base: the float network, as the command names it.
        scores: on validation data by name, those of the network last.
        networks: what is tested on test data too, by the same names.
        command: that made it.
        seed: of the search, None where it is not known.
    """

    network: nn.Module
    source: Path
    base: str
    scores: Mapping[str, Score]
    networks: Mapping[str, nn.Module]
    command: Sequence[str]
    seed: int | None

    def write(self, out: Path, task: Task) -> str:
        """Write the file and the card; return both in words."""
        export = export_gguf(self.network, out, source=self.source)
        card = ModelCard(
            base=self.base,
            file=out.name,
            bytes=export.bytes,
            types=export.histogram(),
            choices=tuple(each.weight.choice for each in quantized_layers(self.network).values()),
            scores=self.scores,
            tested={name: tested(network, task) for name, network in self.networks.items()},
            command=shlex.join(self.command),
            seed=self.seed,
        )
        path = card_path(out)
        write_file(path, card.text())
        return f"{near(out)}: {export.bytes:,} bytes for llama.cpp; {near(path)}: its model card"


def tested(network: nn.Module, task: Task) -> dict[str, float]:
    """Return the metrics of a network on test data, by what it is for and against the float one."""
    found: dict[str, float] = {}
    for objective in (task.objective, task.metric):
        if objective is not None:
            measured = measure(network, task.test, objective=objective, float_network=task.network)
            found |= measured.metrics
    return found
