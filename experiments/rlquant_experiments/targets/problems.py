"""The problems of the page: the types of ggml, and blocks of one width; one of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlquant import (
    Budget,
    CompressedTensorsTarget,
    EvaluationSettings,
    GgufTarget,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.evaluation.process_memory import close_gaps
from rlquant.tasks import Task
from rlquant_experiments.targets.settings import BLOCK, TargetsSettings

NO_LIMIT = Budget.size_bytes(2**62)
TYPES_OF_GGML, BLOCKS = "types of ggml", "blocks"


class Problems:
    """Problems of a language model without a limit, of which the last one asked for is kept.

    A problem holds a copy of the network, quantized weights and Hessians, several gigabytes beside
    each other of a network of one.

    Args:
        task: with token numbers as `input_ids`.
        source: GGUF file of the same network.
        settings: how many sequences each part has.

    Attributes:
        task: the same; its network is that of the problem, as one in memory is enough.
    """

    def __init__(self, task: Task, source: Path, settings: TargetsSettings) -> None:
        self.task, self.source, self._settings = task, source, settings
        self._kept: tuple[str, QuantizationProblem] | None = None

    @property
    def of_types(self) -> QuantizationProblem:
        """The problem in the space of all types of ggml."""
        return self._of(TYPES_OF_GGML, self._types)

    @property
    def of_blocks(self) -> QuantizationProblem:
        """The problem of Linear layers but the head in blocks of 32 weights."""
        return self._of(BLOCKS, self._blocks)

    def _of(self, kind: str, arguments: Callable[[], dict[str, Any]]) -> QuantizationProblem:
        if self._kept is not None and self._kept[0] == kind:
            return self._kept[1]
        self._kept = None
        close_gaps()
        problem = self._made(**arguments())
        self.task = replace(self.task, network=problem.network)
        self._kept = kind, problem
        return problem

    def _made(self, **arguments: Any) -> QuantizationProblem:
        task, settings = self.task, self._settings
        return QuantizationProblem(
            task.network,
            task.train,
            task.validation,
            budget=NO_LIMIT,
            objective=task.objective,
            evaluation=EvaluationSettings(
                calibration_samples=settings.calibration,
                validation_samples=settings.validation,
                weight_bank_folder=str(settings.out / "weights"),
            ),
            store=settings.out / "evaluations.sqlite",
            **arguments,
        )

    def _types(self) -> dict[str, Any]:
        return {"target": GgufTarget(self.source)}

    def _blocks(self) -> dict[str, Any]:
        space = SearchSpace(
            bits=tuple(range(2, 9)),
            points=("clipped",),
            group_size=(BLOCK,),
            rounding=("gptq",),
        )
        return {"target": CompressedTensorsTarget(), "space": space}
