"""Measurement of rows: networks are built, written, read back by llama.cpp, and tested."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import rlquant
from rlquant import Budget, LayerChoice, QuantizationConfig, QuantizationProblem
from rlquant.config import Rounding
from rlquant.data import Data
from rlquant.evaluation.process_memory import close_gaps
from rlquant.export.histogram import histogram
from rlquant.gguf.architecture import file_names
from rlquant.gguf.ggml_types import TYPES
from rlquant.tasks import Task
from rlquant.weight_sites import weight_sites
from rlquant_agents.api import search_problem
from rlquant_experiments.real_networks.test_set import TestSet
from rlquant_experiments.targets.blocks import BlockLab
from rlquant_experiments.targets.float_weights import write_in_floats
from rlquant_experiments.targets.llama_cpp import Libraries
from rlquant_experiments.targets.problems import Problems
from rlquant_experiments.targets.recipes import types_of
from rlquant_experiments.targets.rows import (
    BITS,
    FLOAT,
    GPTQ,
    NEAREST,
    THEIRS_BY_IMPORTANCE,
    Figures,
    Row,
    keep_row,
    read_row,
    rows_of,
)
from rlquant_experiments.targets.settings import TargetsSettings

SPEED_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Built:
    """A network of a row.

    Attributes:
        network: what is tested.
        promised: bytes of its file.
        types: how many tensors have which type.
        written: whether it is one that `export_gguf` writes.
    """

    network: nn.Module
    promised: int
    types: str
    written: bool = True


class Lab:
    """A language model, its problem without a limit, and its test data.

    Args:
        task: with token numbers as `input_ids`.
        source: GGUF file of the same network.
        settings: how many sequences each part has.
    """

    def __init__(self, task: Task, source: Path, settings: TargetsSettings) -> None:
        torch.set_num_threads(settings.threads)
        self.source, self._settings = source, settings
        self._problems = Problems(task, source, settings)
        self.libraries = None if settings.llama_cpp is None else Libraries(settings.llama_cpp)
        self.test = TestSet(task, settings.test)

    @property
    def task(self) -> Task:
        """The task; its network is the problem's."""
        return self._problems.task

    @property
    def problem(self) -> QuantizationProblem:
        """The problem without a limit, in the space of all types."""
        return self._problems.of_types

    def figures(self, row: Row) -> Figures:
        """Return the figures of a row."""
        close_gaps()  # that the last one left
        if row.way in BITS:
            return self._blocks.figures(row)
        start = time.perf_counter()
        built = self._built(row)
        minutes = (time.perf_counter() - start) / 60
        measured = self.test.measure(built.network)
        found = Figures(
            promised=built.promised,
            bytes=0,
            kl=measured.loss,
            kl_999=measured.metrics["kl_99.9"],
            perplexity=measured.metrics["perplexity"],
            agreement=measured.metrics["top1_agreement"],
            types=built.types,
            minutes=minutes,
        )
        return self._written(row, built.network, found) if built.written else found

    def _written(self, row: Row, network: nn.Module, found: Figures) -> Figures:
        """Return the figures with those of the file."""
        path = self._settings.out / f"{row.name}.gguf"
        export = rlquant.export_gguf(network, path, source=self.source)
        found = replace(found, bytes=export.bytes, types=_counted(export.types.values()))
        if self.libraries is None:
            return found
        tokens = _tokens(self.task.test)[0]
        with torch.no_grad():
            ours = network(tokens[None]).logits[0].log_softmax(dim=1)
        plain = path.with_suffix(".f32.gguf")
        write_in_floats(path, plain)
        with self.libraries.model(plain) as model:
            by_floats = _divergence(ours, model.logits(tokens.numpy()))
        plain.unlink()
        with self.libraries.model(path) as model:
            divergence = _divergence(ours, model.logits(tokens.numpy()))
            seconds = model.seconds_per_token(tokens[:SPEED_TOKENS].numpy())
        return replace(
            found, runtime_kl=divergence, float_runtime_kl=by_floats, token_seconds=seconds
        )

    def _built(self, row: Row) -> Built:
        if row.way == FLOAT:
            return Built(self.task.network, self.task_bytes, "F32", written=False)
        if row.searched:
            return self._searched(row)
        types = self._types(row.recipe)
        config = self._config(types, "nearest" if row.way == NEAREST else "gptq")
        promised = self._bytes(self._config(types, "gptq"))
        if row.way == GPTQ:
            return Built(self.problem.build(config), promised, "")
        if row.way == NEAREST:
            samples = {"input_ids": self._calibration}
            network = rlquant.quantize(self.task.network, config, calibration=samples, seed=0)
            return Built(network, promised, "")
        by_importance = row.way == THEIRS_BY_IMPORTANCE
        network = self._encoded_by_llama_cpp(types, by_importance)
        return Built(network, promised, _counted(types.values()), written=False)

    def _searched(self, row: Row) -> Built:
        limit = self._bytes(self._config(self._types(row.recipe), "gptq"))
        problem = self.problem.with_budget(Budget.size_bytes(limit))
        found = search_problem(
            problem,
            searcher=self._settings.searcher,
            evaluations=self._settings.evaluations,
            seed=row.seed,
        )
        if found.stopped == "interrupted":
            raise KeyboardInterrupt
        assert found.network is not None
        return Built(found.network, self._bytes(found.best), "")

    @cached_property
    def _blocks(self) -> BlockLab:
        return BlockLab(self._problems, self.test, self._settings)

    @property
    def task_bytes(self) -> int:
        """Bytes of the float network."""
        return sum(p.numel() * p.element_size() for p in self.task.network.parameters())

    @property
    def _calibration(self) -> Tensor:
        return _tokens(self.task.train)[: self._settings.calibration]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of weights in files, by layer."""
        layers = [facts.name for facts in self.problem.layers]
        found = file_names(self.task.network, [f"{layer}.weight" for layer in layers])
        return {layer: found[f"{layer}.weight"] for layer in layers}

    def _types(self, recipe: str) -> dict[str, str]:
        """Return the type of each layer by a recipe."""
        columns = {self._names[f.name]: f.shape[1] for f in self.problem.layers}
        types = types_of(recipe, columns)
        return {layer: types[name] for layer, name in self._names.items()}

    def _config(self, types: dict[str, str], rounding: Rounding) -> QuantizationConfig:
        choices = []
        for layer, name in types.items():
            own = TYPES[name]
            known = self.problem.space.of_layer(layer).rounding
            fitting: Rounding = rounding if rounding in known else "nearest"
            choices.append(
                LayerChoice(
                    layer,
                    own.bits,
                    rounding=fitting,
                    points=own.points[0],
                    group_size=own.group,
                )
            )
        return QuantizationConfig(tuple(choices))

    def _bytes(self, config: QuantizationConfig) -> int:
        feasible = self.problem.feasible
        return feasible.spent(feasible.indices(config))

    def _encoded_by_llama_cpp(self, types: dict[str, str], by_importance: bool) -> nn.Module:
        """Return the network with the weights that llama.cpp's encoders give."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        assert self.libraries is not None
        network = copy.deepcopy(self.task.network)
        for layer, site in weight_sites(network).items():
            if layer not in types:
                continue
            own, weight = TYPES[types[layer]], site.weight_in(network)
            counts = self._mean_squares.get(layer) if by_importance else None
            data = self.libraries.encode(
                weight.detach().numpy(),
                own.number,
                own.bytes_of(weight.shape[1]),
                None if counts is None else counts.numpy(),
            )
            values = dequantize(data, GGMLQuantizationType[own.name])
            with torch.no_grad():
                weight.copy_(torch.from_numpy(np.ascontiguousarray(values)))
        return network

    @cached_property
    def _mean_squares(self) -> dict[str, Tensor]:
        """Mean squares of the inputs of Linear layers but the head, as `llama-imatrix` has them."""
        sums: dict[str, Tensor] = {}
        network = self.task.network

        def watch(name: str) -> None:
            def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                squares = inputs[0].detach().square().flatten(0, -2).sum(dim=0)
                sums[name] = sums.get(name, torch.zeros(())) + squares

            handles.callback(network.get_submodule(name).register_forward_pre_hook(add).remove)

        with ExitStack() as handles, torch.no_grad():
            for name, module in network.named_modules():
                if isinstance(module, nn.Linear) and name != "lm_head":
                    watch(name)
            for tokens in torch.split(self._calibration, 4):
                network(tokens)
        return {name: total / self._calibration.numel() for name, total in sums.items()}


def _divergence(ours: Tensor, theirs: npt.NDArray[np.float32]) -> float:
    """Return the mean KL from log probabilities of ours to logits of theirs, over tokens."""
    other = torch.from_numpy(theirs).log_softmax(dim=1)
    return float((ours.exp() * (ours - other)).sum(dim=1).mean())


def _counted(types: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in histogram(types).items())


def _tokens(data: Data) -> Tensor:
    """Return the token numbers of a language model's samples, `(sequences, tokens)`."""
    found = cast(Mapping[str, Tensor], data)["input_ids"]
    assert found.dim() == 2
    return found


def kept_rows(settings: TargetsSettings) -> dict[Row, Figures]:
    """Return the rows that are kept, with their figures."""
    found = ((row, read_row(row, settings)) for row in rows_of(settings))
    return {row: figures for row, figures in found if figures is not None}


def measure_rows(lab: Lab, settings: TargetsSettings) -> Iterator[tuple[Row, Figures]]:
    """Yield every row with its figures; rows that are kept are read, others kept when measured."""
    for row in rows_of(settings):
        figures = read_row(row, settings)
        if figures is None:
            figures = lab.figures(row)
            keep_row(row, settings, figures)
        yield row, figures
