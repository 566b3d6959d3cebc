"""The settings of an evaluation: how much data, in which batches, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from rlquant.arguments import explained
from rlquant.errors import SettingsError, whole_number
from rlquant.paths import PathLike, path_of
from rlquant.precision import Precision, require_precision
from rlquant.quantizers.activation_ranges import RangeMethod, require_range_method

WEIGHTS = "weights"
"""The folder of quantized weights within a run folder."""
Calibrate = Literal["auto", "statistics", "biases", "none"]
"""What calibration changes in a quantized network: see `EvaluationSettings.calibrate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How quantized networks are calibrated and measured.

    >>> import rlquant
    >>> rlquant.EvaluationSettings(calibration_samples=64).validation_samples
    2000

    Attributes:
        calibration_samples: at most so many training samples are used for calibration.
        validation_samples: at most so many validation samples are used.
        batch_size: samples of a validation batch; by default 250, or fewer where the outputs of a
            batch would take more than 128 MiB, or on a CPU a tensor inside the network more than
            16 MiB: larger ones fit no cache.
        calibrate: what is taken back of the shift that quantization makes: "statistics" of
            BatchNorms, "biases" of layers with no BatchNorm behind them, where that lowers the
            error of their outputs, "auto", both of them, or "none".
        activation_range: how the range of a layer's quantized inputs is chosen: "mse" (least
            squared error at the asked bits), "minmax" or "percentile" (99.9).
        prefix_bytes: memory for activations that configurations share (bytes); "auto" for 1 GiB, or
            beside a network of more than 256 MiB an eighth of what it takes, at most 1 GiB; 0 for
            none, None to run the whole network each time. Changes no result.
        weight_bank_bytes: memory for quantized weights (bytes), beside those of the configuration
            that is measured; by default 256 MiB, or for float weights of more than 256 MiB half of
            what they take. Changes no result. By default neither takes more than a quarter of the
            free memory.
        weight_bank_folder: keeps the quantized weights of networks of more than 16 MiB, for those
            that do not fit into memory and for later searches of the same network, calibrated on
            the same samples; up to a byte for each weight and option. By default a folder in the
            run folder, which goes when the search is finished; without one weights that do not fit
            are quantized again. Changes no result.
        precision: in which quantized networks run on validation samples: "own", the network's,
            or "bfloat16" by autocast, which is faster where the processor has it and changes losses
            by a thousandth or so; scores and notes name it. What is built computes as its owner
            runs it. Not where configurations are trained or `stochastic`.
        imatrix: an importance matrix that llama.cpp's `llama-imatrix` wrote (a GGUF file), by which
            errors of weights count in place of the calibration samples' own statistics. For
            rounding nearest and stochastic, of networks that GGUF files hold.
        device: where to evaluate; the network's own by default.
        stochastic: accept a network that is not the same function every time, such as one with
            dropout that is always on: scores are means over passes of fresh copies with fixed
            seeds, at several times the cost.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    calibration_samples: int = 512
    validation_samples: int = 2000
    batch_size: int | None = None
    calibrate: Calibrate = "auto"
    activation_range: RangeMethod = "mse"
    prefix_bytes: int | Literal["auto"] | None = "auto"
    weight_bank_bytes: int | None = None
    weight_bank_folder: str | None = None
    precision: Precision = "own"
    imatrix: str | None = None
    device: str | torch.device | None = None
    stochastic: bool = False

    @explained
    def __post_init__(self) -> None:
        for field in ("calibration_samples", "validation_samples"):
            object.__setattr__(self, field, whole_number(field, getattr(self, field), 1))
        for field, least in (("batch_size", 1), ("prefix_bytes", 0), ("weight_bank_bytes", 0)):
            value = getattr(self, field)
            if value is not None and not (field == "prefix_bytes" and value == "auto"):
                object.__setattr__(self, field, whole_number(field, value, least))
        if self.weight_bank_folder is not None:
            folder = path_of("weight_bank_folder", self.weight_bank_folder)
            if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
                raise SettingsError(
                    f"weight_bank_folder={str(folder)!r} is no folder, and none can be made there"
                )
            object.__setattr__(self, "weight_bank_folder", str(folder))
        if self.imatrix is not None:
            object.__setattr__(self, "imatrix", str(path_of("imatrix", self.imatrix)))
        require_calibrate(self.calibrate)
        require_range_method(self.activation_range)
        require_precision(self.precision)
        if not isinstance(self.stochastic, bool):
            raise SettingsError(f"stochastic={self.stochastic!r}, give True or False")
        if self.stochastic and self.precision != "own":
            raise SettingsError(
                f"precision={self.precision!r} with stochastic=True: means over passes are of the "
                f"network's own precision; leave one of them out"
            )

    def with_weights_in(self, folder: PathLike | None) -> EvaluationSettings:
        """Return the same with quantized weights kept in a run folder, unless elsewhere.

        Args:
            folder: None, or one that is not there, leaves the settings as they are.
        """
        if folder is None or self.weight_bank_folder is not None or not Path(folder).is_dir():
            return self
        return replace(self, weight_bank_folder=str(Path(folder) / WEIGHTS))


def require_calibrate(calibrate: Any) -> None:
    """Raise `SettingsError` for what is no value of `Calibrate`."""
    if calibrate not in get_args(Calibrate):
        allowed = ", ".join(map(repr, get_args(Calibrate)))
        raise SettingsError(f"calibrate={calibrate!r} is not one of {allowed}")


def require_evaluation(evaluation: Any) -> EvaluationSettings:
    """Return settings; `SettingsError` for what are none."""
    if isinstance(evaluation, EvaluationSettings):
        return evaluation
    raise SettingsError(
        f"evaluation={evaluation!r} is no EvaluationSettings; make one, e.g. "
        f"EvaluationSettings(calibration_samples=64)"
    )
