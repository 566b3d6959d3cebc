"""Command-line settings that name a task, a search space and a budget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from rlquant import (
    Budget,
    EvaluationSettings,
    EvaluationStore,
    QuantizationProblem,
    Racing,
    SearchSpace,
    TrainSettings,
)
from rlquant.config import Fidelity, GroupSize, Method, Points, Rounding
from rlquant.cost.budget import Quantity
from rlquant.errors import BudgetError, SettingsError
from rlquant.evaluation_settings import Calibrate
from rlquant.export.deployment import DeploymentTarget
from rlquant.export.targets import SPACES, TargetName, target_named
from rlquant.paths import PathLike
from rlquant.precision import Precision
from rlquant.space import default_space
from rlquant.tasks import Task
from rlquant.tasks.own.model import FORMS, named_model
from rlquant.tie import fused
from rlquant.training.settings import TRAINED, TUNED
from rlquant_agents.cli.config_file import MAY_STAND_FIRST, CommandSettings
from rlquant_agents.cli.target_export import OWN_FORMS, export_source_of
from rlquant_agents.cli.task_source import TaskSource


@dataclass(frozen=True, kw_only=True)
class TaskSettings(CommandSettings):
    """What is searched: a task, the options of its layers, and what the budget limits.

    Attributes:
        task: name of the task, e.g. digits/mlp, fashion-mnist/resnet8 or smollm2-135m.
        model: a network of your own in place of a task: a GGUF file or a folder of transformers,
            also as gguf:FILE and transformers:FOLDER (with --text), timm:NAME (with --images), or
            my_module:function, which returns a rlquant.tasks.Task or (network, training data,
            validation data, test data). It may stand first without --model.
        text: text files (UTF-8) for a --model of transformers or gguf.
        images: folder or .tar of images, without labels, for a --model of timm.
        quantity: what the budget limits. average_bits: stored bits per weight of the searched
            layers; size_bytes: the packed file; size_ratio: that file over the float network's
            bytes; bops: bit-operations of one sample; latency: seconds by --latency-table.
        latency_table: CSV with the columns kind, shape, bits, seconds, for latency budgets.
        bits: bit-widths to choose from, 1..16; by default 2 3 4 5 6 8, and 7 where networks are
            trained.
        rounding: rules by which a weight goes to one of its two neighbouring points; by default
            nearest, and stochastic where networks are trained.
        method: how a quantized layer comes about; by default post_training, and ternary and
            distilled where networks are trained.
        points: where the quantization points lie; by default clipped, and all of them where
            networks are trained.
        activation_bits: widths of the layers' inputs to choose from; None leaves them float.
        exclude: layers that stay in float32.
        group_size: weights that share a scale, to choose from: channel, tensor, or so many
            consecutive weights of a channel, e.g. --group-size channel 128 64; by default
            channel, and 128 64 32 of transformers.
        tie: layers that share one decision: fused (q, k and v; gate and up), or shell patterns,
            e.g. --tie fused '*.down_proj'.
        target: where the network will run: leaves only what can be expressed there among the
            options. packed is everything; onnxruntime-int8 gives all layers 8-bit inputs, under a
            latency budget the choice between them and float; gguf has the types of llama.cpp, all
            of them by default, and sizes are those of the GGUF file; compressed-tensors has what
            vLLM and transformers load, and sizes are those of model.safetensors.
        export_source: for --target gguf and compressed-tensors, the network's folder of
            transformers (for gguf a GGUF file of it, too), whose tokenizer and metadata are taken
            over; by default what --model names.
        fidelity: how far a network is trained before it is measured: calibrated (not at all),
            tuned (a short run for each configuration) or trained (epochs).
        steps: of the training run of each configuration, instead of the fidelity's default.
        epochs: the same in passes over the training data.
        validation_samples: at most so many validation samples are used.
        calibration_samples: at most so many training samples are used for calibration.
        calibrate: what is taken back of the shift that quantization makes: statistics of
            BatchNorms, biases of layers with no BatchNorm behind them, auto (both) or none.
        precision: in which quantized networks run on validation samples: own, the network's, or
            bfloat16, which is faster where the processor has it.
        imatrix: an importance matrix that llama-imatrix wrote (a GGUF file), by which errors of
            weights count in place of the calibration data's own statistics; weights are then
            rounded to nearest.
        racing: end an evaluation early, on some of the validation samples, when it is clear that it
            does not beat the best one so far.
        device: where to evaluate, e.g. cpu or cuda.
        threads: threads of torch. For networks as small as these one is fastest, and it does not
            suffer from busy cores.
    """

    task: str = "digits/resnet8"
    model: str | None = field(default=None, metadata=MAY_STAND_FIRST)
    text: tuple[Path, ...] = ()
    images: Path | None = None
    quantity: Quantity = "average_bits"
    latency_table: Path | None = None
    bits: tuple[int, ...] | None = None
    rounding: tuple[Rounding, ...] | None = None
    method: tuple[Method, ...] | None = None
    points: tuple[Points | str, ...] | None = None
    activation_bits: tuple[int | None, ...] = (None,)
    exclude: tuple[str, ...] = ()
    group_size: tuple[GroupSize, ...] | None = None
    tie: tuple[str, ...] = ()
    target: TargetName = "packed"
    export_source: Path | None = None
    fidelity: Fidelity = "calibrated"
    steps: int | None = None
    epochs: int | None = None
    validation_samples: int = 2000
    calibration_samples: int = 512
    calibrate: Calibrate = "auto"
    precision: Precision = "own"
    imatrix: Path | None = None
    racing: bool = False
    device: str = "cpu"
    threads: int = 1

    def space(self, network: nn.Module | None = None) -> SearchSpace:
        """Return the search space; `ChoiceError` names an option that cannot exist.

        Args:
            network: where it is known, what suits it is the default, unless any of rounding,
                method and points is given.
        """
        names = ("bits", "rounding", "method", "points", "group_size")
        given = {name: getattr(self, name) for name in names}
        own = any(given[name] is not None for name in ("rounding", "method", "points"))
        suits = default_space(self.fidelity)
        if network is not None and not own:
            suits = SearchSpace.for_network(network, self.fidelity)
        if self.target in SPACES:
            suits = SPACES[self.target](network, self.fidelity)
        expressed = target_named(self.target).allowed.get("group_size")
        if expressed is not None and not set(expressed) & set(suits.group_size):
            suits = replace(suits, group_size=expressed[:1])
        if self.imatrix is not None:
            suits = replace(suits, rounding=("nearest",))
        space = replace(
            suits,
            **{name: options for name, options in given.items() if options is not None},
            activation_bits=self._activation_bits(),
            exclude=self.exclude,
            tie=tuple(fused if name == "fused" else name for name in self.tie),
        )
        return target_named(self.target).restrict(space)

    def _activation_bits(self) -> tuple[int | None, ...]:
        """Return the widths of inputs; what a latency is about is the target's choice of them."""
        if self.quantity != "latency" or self.activation_bits != (None,):
            return self.activation_bits
        return target_named(self.target).allowed.get("activation_bits", (None,))

    def deployment(self) -> DeploymentTarget | None:
        """Return the target that counts in its own bytes, None for the others.

        Raises:
            SettingsError: it needs a source, and none is given or named as the model.
        """
        if self.target not in OWN_FORMS:
            if self.export_source is not None:
                words = " and ".join(OWN_FORMS)
                raise SettingsError(f"--export-source belongs to --target {words}; give both")
            return None
        return OWN_FORMS[self.target].deployment(self.source_of_export())

    def source_of_export(self) -> Path | None:
        """Return whose tokenizer and metadata the export gets; see `export_source_of`."""
        return export_source_of(self.target, self.source().task, self.export_source)

    def training(self) -> TrainSettings | None:
        """Return how configurations are trained, None for the fidelity's default.

        Raises:
            SettingsError: both steps and epochs, or either where nothing is trained.
        """
        if self.steps is None and self.epochs is None:
            return None
        if self.steps is not None and self.epochs is not None:
            raise SettingsError("--steps cannot be combined with --epochs; give one of them")
        if self.fidelity == "calibrated":
            raise SettingsError(
                "--steps and --epochs train configurations; give --fidelity tuned or trained"
            )
        if self.epochs is not None:
            return replace(TRAINED, epochs=self.epochs)
        return replace(TUNED, steps=self.steps)

    def budget_of(self, limit: float) -> Budget:
        """Return the budget of `limit` units of the quantity.

        Raises:
            BudgetError: `limit` is no positive number, or the latency table is missing.
            StorageError: the latency table cannot be read.
        """
        if self.quantity != "latency":
            return Budget(self.quantity, limit)
        if self.latency_table is None:
            raise BudgetError("--quantity latency needs --latency-table, a CSV of measured layers")
        if not self.latency_table.is_file():
            raise BudgetError(f"--latency-table {self.latency_table}: there is no such file")
        return Budget.latency(limit, self.latency_table)

    def set_threads(self) -> None:
        """Set torch's threads; `SettingsError` for less than one."""
        if self.threads < 1:
            raise SettingsError(f"--threads {self.threads}: use at least 1")
        torch.set_num_threads(self.threads)

    def load(self) -> Task:
        """Load the task on the device, after setting the number of threads.

        Raises:
            UnknownNameError: no task has this name.
            SettingsError: threads or device cannot be had.
            DataError: the data are missing or damaged.
        """
        self.set_threads()
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"--device {self.device} cannot be used: {reason}") from error
        return self.source().load(self.device)

    def source(self) -> TaskSource:
        """Return what is searched; `SettingsError` for data without a model."""
        if self.model is None and (self.text or self.images is not None):
            raise SettingsError("--text and --images belong to a --model; name one")
        if self.model is None:
            return TaskSource(self.task)
        try:
            model = named_model(self.model)
        except SettingsError as error:
            raise SettingsError(
                f"--model {self.model!r}: use {FORMS}, or give --task a name"
            ) from error
        return TaskSource(model, self.text, self.images)

    def problem(
        self,
        task: Task,
        budget: Budget,
        store: PathLike | EvaluationStore | None = None,
        weights: PathLike | None = None,
    ) -> QuantizationProblem:
        """Return the problem of a loaded task; `weights` is a run folder that keeps them."""
        return QuantizationProblem(
            task.network,
            task.train,
            task.validation,
            objective=task.objective,
            budget=budget,
            space=self.space(task.network),
            fidelity=self.fidelity,
            training=self.training(),
            evaluation=EvaluationSettings(
                validation_samples=self.validation_samples,
                calibration_samples=self.calibration_samples,
                calibrate=self.calibrate,
                imatrix=None if self.imatrix is None else str(self.imatrix),
                precision=self.precision,
            ).with_weights_in(weights),
            store=store,
            racing=Racing() if self.racing else None,
            target=self.deployment(),
        ).with_data_from(self.source().data)

    @property
    def file_name(self) -> str:
        """The task's name as part of a file name."""
        return self.source().file_name

    def budget_name(self, limit: float) -> str:
        """Return a budget as part of a file name."""
        return str(limit) if self.quantity == "average_bits" else f"{self.quantity}-{limit:g}"
