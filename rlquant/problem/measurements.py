"""Measurements of configurations: from memory, from the store, or measured now."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.config import QuantizationConfig
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.looks import Ended, Ending, Look, LooksMemory, Recorder
from rlquant.evaluation.order import sharing_order
from rlquant.evaluation.racing import Losses, Race
from rlquant.evaluation.trained import TrainingEvaluator, Watched
from rlquant.problem.fingerprint import require_told_apart
from rlquant.problem.measuring import Measuring
from rlquant.problem.named_data import LoadData, NamedData, is_large
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
from rlquant.training.watching import Watcher

Floats = npt.NDArray[np.float64]
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two looks at whether another process has measured something."""
PATIENCE = 60.0
"""Seconds that are waited for it, and three times as long as evaluations have taken here."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What another process is asked.

    Attributes:
        config: canonical.
        incumbent: where the problem races, the configuration to beat.
        looks: at the evaluation of that.
        following: what the same process is probably asked next, where that is known: saves memory
            and time.
    """

    config: QuantizationConfig
    incumbent: QuantizationConfig | None = None
    looks: Sequence[Look] | None = None
    following: QuantizationConfig | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What another process has measured.

    Attributes:
        measured: partial where it lost against the incumbent.
        seconds: that it took.
        looks: at the evaluation, where it may end early.
    """

    measured: Measurement
    seconds: float
    looks: Sequence[Look] | None


def waits() -> Iterator[float]:
    """Yield the seconds waited so far, and wait a little before each but the first."""
    begun, pause = time.monotonic(), FIRST_PAUSE
    while True:
        yield time.monotonic() - begun
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


class Measurements:
    """Answers for canonical configurations, never measuring what is remembered or stored.

    An answer depends on what is asked alone: `incumbent` and `watch` end an evaluation at the same
    look whether it runs now, ran before, or was ended there or earlier when it ran.

    Args:
        measuring: what makes the evaluator.
        fingerprint: of what a measurement depends on, the store's key.
        store: keeps measurements beyond this process, where there is one.

    Attributes:
        load_data: gives the data again in another process; None where they have no name.

    Raises:
        SettingsError: a store, but nothing tells the objective from others of its name.
    """

    def __init__(
        self, measuring: Measuring, fingerprint: str, store: EvaluationStore | None
    ) -> None:
        if store is not None:
            require_told_apart(measuring.objective)
        self.measuring, self.fingerprint, self.store = measuring, fingerprint, store
        self._known: dict[QuantizationConfig, Measurement] = {}
        self._seen = LooksMemory()
        self._expected: tuple[QuantizationConfig, ...] = ()
        self._place: dict[QuantizationConfig, int] = {}
        self._increases: dict[str, Floats] = {}
        self._evaluator: Evaluator | TrainingEvaluator | None = None
        self._longest = 0.0
        self._lock = RLock()  # the evaluator has one working copy, for one thread at a time
        self.load_data: LoadData | None = None
        self._named: NamedData | None = None
        self._whole_measurements: Measurements | None = None

    @property
    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """The evaluator, made on first use in each process."""
        with self._lock:
            if self._named is not None:
                self.measuring, self._named = self._named.back_in(self.measuring), None
            if self._evaluator is None:
                self._evaluator = self._new_evaluator()
            return self._evaluator

    def _new_evaluator(self) -> Evaluator | TrainingEvaluator:
        whole = None if self._whole_measurements is None else self._whole_measurements.evaluator
        if isinstance(whole, Evaluator):
            return whole.on(self.measuring.batches)
        return self.measuring.evaluator()

    def on(self, measuring: Measuring, fingerprint: str) -> Measurements:
        """Return measurements on other validation samples; quantized weights are shared."""
        other = Measurements(measuring, fingerprint, self.store)
        other._whole_measurements, other._lock = self, self._lock
        return other

    def get(
        self,
        config: QuantizationConfig,
        watch: Watcher | None = None,
        incumbent: QuantizationConfig | None = None,
    ) -> Measurement:
        """Return a configuration's measurement; partial only where it lost against `incumbent`.

        Args:
            config: canonical.
            watch: told how its training goes, or went; may end it.
            incumbent: canonical; where the problem races, the configuration to beat.

        Raises:
            EvaluationStopped: `watch` ended the training.
        """
        with self._lock, self._turn(config):
            return self._get(config, watch, incumbent)

    def _get(
        self,
        config: QuantizationConfig,
        watch: Watcher | None,
        incumbent: QuantizationConfig | None,
    ) -> Measurement:
        ending = self._ending(watch, incumbent)
        whole = self._whole(config)
        if ending is None:
            return whole or self._measure(config)
        looks = self._looks(config)
        if looks is None and whole is not None:  # only how it ended is known
            self._measure(config)
            looks = self._looks(config)
        if any(ending.ends(look) for look in looks or ()):
            return ending.outcome()
        return whole or self._measure(config, ending, known=len(looks or ()))

    @contextmanager
    def _turn(self, config: QuantizationConfig) -> Iterator[None]:
        """Wait while another process measures a configuration, then let none but this one do so.

        That spares work and decides nothing: what two measure at once is the same.
        """
        for waited in waits():
            if self._has_all(config) or self.claim([config], waited):
                break
        try:
            yield
        finally:
            self.release([config])

    def _has_all(self, config: QuantizationConfig) -> bool:
        """Return whether nothing of a configuration can have to be measured."""
        if self._whole(config) is None:
            return False
        return not self.measuring.is_looked_at or self._looks(config) is not None

    def claim(
        self, configs: Sequence[QuantizationConfig], waited: float = 0.0
    ) -> list[QuantizationConfig]:
        """Return those of canonical configurations that no other process measures now.

        None of those that share the store begins with them until `take` or `release`. Who has
        `waited` for much longer than evaluations take gets all: nobody waits for ever.
        """
        if self.store is None or waited > PATIENCE + 3 * self._longest:
            return list(configs)
        return self.store.claim(self.fingerprint, configs)

    def release(self, configs: Iterable[QuantizationConfig]) -> None:
        """Let other processes measure what was claimed and has no answer."""
        if self.store is not None:
            for config in configs:
                self.store.release(self.fingerprint, config)

    def _ending(self, watch: Watcher | None, incumbent: QuantizationConfig | None) -> Ending | None:
        """Return what may end an evaluation early, if anything may."""
        if self.measuring.plan is not None:
            return None if watch is None else Watched(watch)
        racing = self.measuring.racing
        if racing is None or incumbent is None:
            return None
        batches = sum(1 for _ in self.measuring.look_sizes())
        return Race(
            racing.quantile(batches - 1), self._losses(incumbent)
        )  # the last one ends nothing

    def _losses(self, incumbent: QuantizationConfig) -> Losses:
        """Return the losses of all samples of a configuration, which is measured if need be."""
        looks = self._looks(incumbent) or ()
        if sum(len(look) - 1 for look in looks) < len(self.measuring.validation):
            self._measure(incumbent)
            looks = self._looks(incumbent) or ()
        return np.concatenate([look[1:] for look in looks])

    def _whole(self, config: QuantizationConfig) -> Measurement | None:
        """Return the whole measurement of a configuration where it is known."""
        known = self._known.get(config)
        if known is None and self.store is not None:
            known = self.store.get(self.fingerprint, config)
            if known is not None:
                self._known[config] = known
                self._seen.drop(config)  # perhaps of an evaluation that was ended here
        return known

    def _looks(self, config: QuantizationConfig) -> Sequence[Look] | None:
        """Return what is known of how an evaluation went, all of it where it went to its end."""
        looks = self._seen.get(config)
        if looks is None and self.store is not None:
            looks = self.store.looks(self.fingerprint, config, self.measuring.look_sizes())
            if looks is not None:
                self._seen.put(config, looks)
        return looks

    def _measure(
        self, config: QuantizationConfig, ending: Ending | None = None, known: int = 0
    ) -> Measurement:
        """Measure and record; `ending` was shown the first `known` looks already."""
        recorder = Recorder(ending, known) if self.measuring.is_looked_at else None
        evaluator, start = self.evaluator, time.perf_counter()
        measured: Measurement | None = None
        with suppress(Ended):
            last = config if config in self._place else None  # shares all with itself
            measured = evaluator.measure(config, recorder, self._after(config, 1) or last)
        seconds = time.perf_counter() - start
        self._longest = max(self._longest, seconds)
        looks = None if recorder is None else recorder.looks
        if looks is not None:
            self._seen.put(config, looks)
        if self.store is not None:
            self.store.put(self.fingerprint, config, measured, seconds, looks)
        if measured is None:
            assert ending is not None
            return ending.outcome()
        self._known[config] = measured
        return measured

    def increases(self, key: str, shape: tuple[int, int], measure: Callable[[], Floats]) -> Floats:
        """Return expected increases: remembered, stored, or measured now and kept.

        Args:
            key: of what is quantized, and of how many gradients.
            shape: `(layers, options)`.
            measure: gives them.
        """
        with self._lock:
            if key not in self._increases:
                found = None
                if self.store is not None:
                    found = self.store.increases(self.fingerprint, key, shape)
                if found is None:
                    found = measure()
                    if self.store is not None:
                        self.store.put_increases(self.fingerprint, key, found)
                self._increases[key] = found
            return self._increases[key].copy()

    # --- other processes

    def recall(
        self, config: QuantizationConfig, incumbent: QuantizationConfig | None = None
    ) -> Measurement | None:
        """Return what `get` would, where nothing has to be measured for it."""
        with self._lock:
            ending, whole = self._ending(None, incumbent), self._whole(config)
            if ending is None:
                return whole
            looks = self._looks(config)
            if looks is None:
                return None
            return ending.outcome() if any(ending.ends(look) for look in looks) else whole

    def question(
        self,
        config: QuantizationConfig,
        incumbent: QuantizationConfig | None = None,
        ahead: int = 1,
    ) -> Question:
        """Return what to ask another process, with the looks that a race needs.

        Args:
            config: canonical.
            incumbent: where the problem races, the configuration to beat.
            ahead: of what is expected, the process is asked so many further on next.
        """
        following = self._after(config, ahead)
        if self.measuring.racing is None or incumbent is None:
            return Question(config, following=following)
        with self._lock:
            self._losses(incumbent)
            return Question(config, incumbent, self._looks(incumbent), following)

    def _after(self, config: QuantizationConfig, ahead: int) -> QuantizationConfig | None:
        """Return what is expected so many after a configuration; None where nothing is."""
        place = self._place.get(config)
        if place is None or place + ahead >= len(self._expected):
            return None
        return self._expected[place + ahead]

    def answer(self, question: Question) -> Answer:
        """Measure what another process asks; nothing is stored here."""
        assert self.evaluator is not None  # which has the samples loaded, where they were not sent
        if question.incumbent is not None and question.looks is not None:
            self._seen.put(question.incumbent, question.looks)
        following = question.following
        start = time.perf_counter()
        with self._lock:  # other threads of the process answer as well
            self._expect(() if following is None else (question.config, following))
            measured = self.get(question.config, incumbent=question.incumbent)
        looks = self._seen.get(question.config)
        return Answer(measured, time.perf_counter() - start, looks)

    def take(self, config: QuantizationConfig, answer: Answer) -> None:
        """Remember and store what another process has measured."""
        whole = None if answer.measured.partial else answer.measured
        with self._lock:
            self._longest = max(self._longest, answer.seconds)
            if whole is not None:
                self._known[config] = whole
            if answer.looks is None:
                self._seen.drop(config)
            else:
                self._seen.put(config, answer.looks)
            if self.store is not None:
                looks = None if answer.looks is None else list(answer.looks)
                self.store.put(self.fingerprint, config, whole, answer.seconds, looks)

    def sent(self, *, same_machine: bool) -> Measurements:
        """Return what other processes get: the same without store, and with nothing remembered.

        Large samples stay here where `load_data` gives them there too, unless they train networks.

        Args:
            same_machine: whether they see the folder in which quantized weights are kept.
        """
        measuring = self.measuring
        if not same_machine:
            evaluation = dataclasses.replace(measuring.evaluation, weight_bank_folder=None)
            measuring = dataclasses.replace(measuring, evaluation=evaluation)
        other = Measurements(measuring, self.fingerprint, None)
        if self.load_data is not None and measuring.plan is None and is_large(measuring):
            other._named = NamedData.of(measuring, self.load_data)
            other.measuring = other._named.out_of(measuring)
        return other

    def unknown(self, configs: Iterable[QuantizationConfig]) -> list[QuantizationConfig]:
        """Return those that are not remembered, each once."""
        return list(dict.fromkeys(config for config in configs if config not in self._known))

    def expect(self, configs: Sequence[QuantizationConfig]) -> list[int]:
        """Take what will be asked for; return the order in which it shares most.

        What is then measured in that order keeps in memory what the rest needs, and only that.
        """
        order = sharing_order([config.choices for config in configs])
        self._expect([configs[i] for i in order])
        return order

    def _expect(self, ordered: Sequence[QuantizationConfig]) -> None:
        self._expected = tuple(ordered)
        self._place = {config: place for place, config in enumerate(ordered)}

    def scan(self, configs: Iterator[QuantizationConfig]) -> Iterator[Measurement]:
        """Measure one after the other, in this order, and remember none."""
        config = next(configs, None)
        while config is not None:
            following = next(configs, None)
            with self._lock:
                measured = self.evaluator.measure(config, following=following or config)
            yield measured
            config = following

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return the network with exactly the outputs that were scored."""
        with self._lock:
            return self.evaluator.build(config)

    def with_store(self, store: EvaluationStore | None) -> Measurements:
        """Return the same with another store and nothing remembered; the evaluator is shared."""
        other = Measurements(self.measuring, self.fingerprint, store)
        other._evaluator, other._lock = self.evaluator, self._lock
        other.load_data = self.load_data
        return other

    def __getstate__(self) -> dict[str, Any]:
        local: dict[str, Any] = {
            "_evaluator": None,
            "_whole_measurements": None,
            "_expected": (),
            "_place": {},
            "_seen": LooksMemory(),
        }
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | local

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=RLock())
