"""A network of a search as a GGUF file or a folder of transformers, with a model card beside it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlquant import (
    CompressedTensorsTarget,
    GgufTarget,
    Score,
    export_compressed_tensors,
    export_gguf,
    measure,
)
from rlquant.errors import SettingsError
from rlquant.export.deployment import DeploymentTarget
from rlquant.export.quantized_layers import quantized_layers
from rlquant.export.targets import COMPRESSED_TENSORS, GGUF
from rlquant.files import write_file
from rlquant.paths import path_of
from rlquant.tasks import Task
from rlquant_agents.cli.hints import near
from rlquant_agents.reporting.model_card import NAME, ModelCard, card_path


@dataclass(frozen=True)
class Written:
    """A network that was exported.

    Attributes:
        file: the one whose size is meant.
        bytes: of it.
        types: how many tensors or layers there are of each type.
        card: where its model card goes.
        serve: command that serves it, in the folder of the card.
    """

    file: Path
    bytes: int
    types: Mapping[str, int]
    card: Path
    serve: str


def _gguf(network: nn.Module, out: Path, source: Path | None) -> Written:
    assert source is not None
    export = export_gguf(network, out, source=source)
    serve = f"llama-server -m {shlex.quote(out.name)}"
    return Written(out, export.bytes, export.histogram(), card_path(out), serve)


def _compressed_tensors(network: nn.Module, out: Path, source: Path | None) -> Written:
    export = export_compressed_tensors(network, out, source=source)
    file = out / "model.safetensors"
    return Written(file, export.bytes, export.histogram(), out / NAME, "vllm serve .")


@dataclass(frozen=True)
class OwnForm:
    """A form in which networks are exported for a target that counts in its own bytes.

    Attributes:
        name: of the file or folder in a run folder.
        runtime: what runs it.
        needs_source: whether a tokenizer must be given.
        write: writes a network, with tokenizer and metadata of a source.
        deployment: the target, of that source.
    """

    name: str
    runtime: str
    needs_source: bool
    write: Callable[[nn.Module, Path, Path | None], Written]
    deployment: Callable[[Path | None], DeploymentTarget]


def _gguf_target(source: Path | None) -> DeploymentTarget:
    assert source is not None
    return GgufTarget(source)


OWN_FORMS: Mapping[str, OwnForm] = {
    GGUF: OwnForm("model.gguf", "llama.cpp", True, _gguf, _gguf_target),
    COMPRESSED_TENSORS: OwnForm(
        "compressed-tensors",
        "vLLM and transformers",
        False,
        _compressed_tensors,
        lambda _: CompressedTensorsTarget(),
    ),
}
"""By the target's name."""
SOURCES: Mapping[str, tuple[str, ...]] = {
    GGUF: ("transformers", "gguf"),
    COMPRESSED_TENSORS: ("transformers",),
}
"""Kinds of models whose own folder or file is the source where none is given."""


def export_source_of(target: str, task: str, given: Path | None) -> Path | None:
    """Return whose tokenizer and metadata an export gets: what is given, else the model itself.

    Args:
        target: one of `OWN_FORMS`.
        task: as a `TaskSource` names it.
        given: by the user.

    Raises:
        SettingsError: there is none, and the target needs one.
    """
    library, _, place = task.partition(":")
    if given is not None:
        return path_of("export_source", given)
    if library in SOURCES[target]:
        return path_of("model", place)
    if OWN_FORMS[target].needs_source:
        raise SettingsError(
            "a GGUF file needs a tokenizer: give --export-source, a GGUF file of the same network "
            "or its folder of transformers"
        )
    return None


@dataclass(frozen=True, kw_only=True)
class TargetExport:
    """What is written of a network, and what its card says.

    Attributes:
        target: one of `OWN_FORMS`.
        network: what a search found.
        source: whose tokenizer and metadata it gets.
        base: the float network, as the command names it.
        scores: on validation data by name, those of the network last.
        networks: what is tested on test data too, by the same names.
        command: that made it.
        seed: of the search, None where it is not known.
    """

    target: str
    network: nn.Module
    source: Path | None
    base: str
    scores: Mapping[str, Score]
    networks: Mapping[str, nn.Module]
    command: Sequence[str]
    seed: int | None

    def write(self, out: Path, task: Task) -> str:
        """Write the file or folder and the card; return both in words."""
        form = OWN_FORMS[self.target]
        written = form.write(self.network, out, self.source)
        card = ModelCard(
            base=self.base,
            file=written.file.name,
            bytes=written.bytes,
            types=written.types,
            choices=tuple(each.weight.choice for each in quantized_layers(self.network).values()),
            scores=self.scores,
            tested={name: tested(network, task) for name, network in self.networks.items()},
            command=shlex.join(self.command),
            serve=written.serve,
            seed=self.seed,
        )
        write_file(written.card, card.text())
        said = f"{near(written.file)}: {written.bytes:,} bytes for {form.runtime}"
        return f"{said}; {near(written.card)}: its model card"


def tested(network: nn.Module, task: Task) -> dict[str, float]:
    """Return the metrics of a network on test data, by what it is for and against the float one."""
    found: dict[str, float] = {}
    for objective in (task.objective, task.metric):
        if objective is not None:
            measured = measure(network, task.test, objective=objective, float_network=task.network)
            found |= measured.metrics
    return found
