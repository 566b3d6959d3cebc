"""`profile_latency`: the latency table of this machine, and how well it predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import FLOAT_BITS
from rlquant.data import Data
from rlquant.errors import whole_number
from rlquant.escaping import csv_text
from rlquant.export.onnx.runtime import require_exporter
from rlquant.layers import LayerFacts, find_layers, modules_of
from rlquant.network_inputs import require_positional
from rlquant.profiling.additive import AdditiveTimes
from rlquant.profiling.sessions import times_of_files

Told = Callable[[str, int, int], object]
"""Told what goes on, how much of it is done, and how much there is."""

Group = tuple[str, tuple[int, ...], int]
"""Kind, shape and multiply-accumulates: layers that agree in them take the same time."""

CHECKS = 20
RANDOM_PER_GROUP = 2
COLUMNS = (
    *("kind", "shape", "macs", "bits", "activation_bits", "seconds"),
    *("standard_error", "batch", "threads"),
)
EMBEDDING = "embedding"
NARROW = tuple(range(1, 9))
"""Widths of weights that run in the same kernel."""


@dataclass(frozen=True)
class LatencyProfile:
    """Measured times of one network's layers on one machine.

    Attributes:
        layers: the network's layers.
        groups: the distinct ones, with how many layers each has.
        times: what each group adds in 8 bits.
        native: for each group whether there is an 8-bit kernel.
        measured, predicted: seconds of all mixes, that in float first, then that in 8 bits; the
            last `checks` of them were not fitted.
        checks: how many they are, up to twenty.
        unseen: whether none of these was among those that were fitted.
        batch: samples of one run.
        threads: of onnxruntime.
    """

    layers: tuple[LayerFacts, ...]
    groups: tuple[tuple[Group, int], ...]
    times: AdditiveTimes
    native: tuple[bool, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    checks: int
    unseen: bool
    batch: int
    threads: int

    @property
    def float_seconds(self) -> float:
        """Measured with all layers in float."""
        return self.measured[0]

    @property
    def integer_seconds(self) -> float:
        """Measured with all layers in 8 bits that have a kernel."""
        return self.measured[1]

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Relative errors of the predictions of the checks, positive where more was predicted."""
        return self._errors[-self.checks :]

    @property
    def mean_error(self) -> float:
        """The mean of the errors' sizes."""
        return float(np.abs(self.errors).mean())

    @property
    def margin(self) -> float:
        """By which share a prediction fell short at worst, of any mix; 0 where it never did."""
        return float(max(0.0, (1 / (1 + self._errors) - 1).max()))

    @property
    def _errors(self) -> npt.NDArray[np.float64]:
        measured = np.array(self.measured)
        relative: npt.NDArray[np.float64] = np.array(self.predicted) / measured - 1
        return relative

    @property
    def integers_pay(self) -> bool:
        """Whether the network runs faster in 8 bits than in float."""
        return self.integer_seconds < self.float_seconds

    def csv(self, margin: float | None = None) -> str:
        """Return the table as `rlquant.LatencyTable` reads it.

        Args:
            margin: added to all times, so that a budget holds where the sum falls short; by
                default `self.margin`.
        """
        factor = 1 + (self.margin if margin is None else margin)
        counts = np.array([count for _, count in self.groups], dtype=float)
        work = np.array([group[2] for group, _ in self.groups], dtype=float)
        in_float = self.times.float_times(counts, work)
        rows: list[Sequence[object]] = [COLUMNS]
        for index, ((kind, shape, macs), _) in enumerate(self.groups):
            shown = "x".join(str(n) for n in shape)
            floats = factor * float(in_float[index])
            integers = factor * float(max(0.0, in_float[index] + self.times.changes[index]))
            error = f"{factor * self.times.errors[index]:.3g}"
            run = (self.batch, self.threads)
            for bits in (*NARROW, FLOAT_BITS):
                rows.append((kind, shown, macs, bits, "", f"{floats:.6g}", error, *run))
            if kind == EMBEDDING:  # its inputs are numbers of words
                continue
            quantized = integers if self.native[index] else floats
            for bits in NARROW:
                rows.append((kind, shown, macs, bits, 8, f"{quantized:.6g}", error, *run))
        return csv_text(rows)


@explained
@isolated(seed=0)
def profile_latency(
    network: nn.Module,
    data: Data,
    inputs: Tensor | Sequence[Tensor],
    *,
    batch: int = 1,
    threads: int = 1,
    rounds: int = 30,
    samples: int = 128,
    seed: int = 0,
    told: Told | None = None,
) -> LatencyProfile:
    """Measure what each distinct layer takes in float and in 8 bits, with onnxruntime.

    Networks in which some layers run in 8 bits and others in float are timed in turns: all of one
    kind, all but that kind, and random mixes. What a kind adds is fitted to them, so that what
    changing between float and integers costs is in it. Up to twenty more mixes check the sums.

    Args:
        network: float network on the CPU.
        data: for calibration.
        inputs: a batch as the network takes it; its first samples are run.
        batch: samples of one run.
        threads: of onnxruntime.
        rounds: how often each network is timed.
        samples: at most so many of `data` calibrate.
        seed: of the random mixes.
        told: of the progress.

    Raises:
        SettingsError: a number below 1, or onnxruntime is not installed.
        NetworkError: a network that cannot be quantized or exported.
        DataError: data that cannot be used.
    """
    for name, value in (("batch", batch), ("threads", threads), ("rounds", rounds)):
        whole_number(name, value, 1)
    require_exporter()
    from rlquant.profiling.variants import NATIVE_KINDS, Variants

    arguments = require_positional("inputs", inputs)
    layers = modules_of(find_layers(network, tuple(tensor[:2] for tensor in arguments)))
    groups = tuple(Counter(group_of(facts) for facts in layers).items())
    native = tuple(group[0] in NATIVE_KINDS for group, _ in groups)
    variants = Variants.of(network, layers, data, tuple(t[:2] for t in arguments), samples)
    mixes, checks = _mixes(layers, [g for (g, _), n in zip(groups, native, strict=True) if n], seed)
    patterns = [*mixes, *checks]
    files = []
    for pattern in patterns:
        files.append(variants.file(pattern))
        if told is not None:
            told("exported", len(files), len(patterns))
    report = None if told is None else partial(told, "rounds timed")
    seconds = times_of_files(files, arguments, batch, threads, rounds, report)
    counts = np.array([[_count(layers, p, group) for group, _ in groups] for p in patterns], float)
    times = AdditiveTimes.fit(counts[: len(mixes)], seconds[: len(mixes)])
    return LatencyProfile(
        tuple(layers),
        groups,
        times,
        native,
        tuple(seconds.tolist()),
        tuple(times.predict(counts).tolist()),
        len(checks),
        not set(checks) & set(mixes),
        batch,
        threads,
    )


def group_of(facts: LayerFacts) -> Group:
    """Return what a layer's time depends on."""
    return facts.kind, facts.shape, facts.macs


def _mixes(
    layers: Sequence[LayerFacts], groups: Sequence[Group], seed: int
) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    """Return the mixes to fit and those to check, as the names of the layers in 8 bits.

    The first two to fit are all in float and all in 8 bits. None to check is among them, unless
    the network has so few layers that there is no other.
    """
    names = [facts.name for facts in layers if group_of(facts) in groups]
    members = {g: frozenset(f.name for f in layers if group_of(f) == g) for g in groups}
    ends = [frozenset[str](), frozenset(names)]
    mixes = [*ends, *members.values(), *(ends[1] - own for own in members.values())]
    draws = np.random.default_rng(seed)

    def drawn() -> frozenset[str]:
        share = draws.uniform()
        return frozenset(name for name in names if draws.uniform() < share)

    mixes += [drawn() for _ in range(RANDOM_PER_GROUP * len(groups))]
    others = dict.fromkeys(drawn() for _ in range(10 * CHECKS))
    unseen = [mix for mix in others if mix not in mixes]
    return mixes, (unseen or list(others))[:CHECKS]


def _count(layers: Sequence[LayerFacts], pattern: frozenset[str], group: Group) -> int:
    return sum(facts.name in pattern and group_of(facts) == group for facts in layers)
