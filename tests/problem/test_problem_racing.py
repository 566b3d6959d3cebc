"""A problem that races: what cannot win ends early, and never counts as a whole evaluation."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from problems import bits, counting, problem
from rlquant.config import QuantizationConfig
from rlquant.errors import DataError, SettingsError
from rlquant.evaluation import looks
from rlquant.evaluation.racing import Racing
from rlquant.objective import Classification
from rlquant.problem.live import QuantizationProblem
from rlquant.samples import Samples
from rlquant.score import Score
from rlquant_agents import search_problem
from small_networks import samples_of, trained


def raced(**other: Any) -> QuantizationProblem:
    settings = {
        "validation_data": samples_of("mlp", 300, seed=2),
        "batch_size": 20,
        "racing": Racing(),
        **other,
    }
    return problem("mlp", trained("mlp"), **settings)


def outputs_of(
    made: QuantizationProblem, config: QuantizationConfig, batches: list[Samples]
) -> list[tuple[Tensor, Tensor]]:
    network = made.build(config)
    with torch.no_grad():
        return [(network(*b.inputs), b.targets) for b in batches]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"racing": True}, "racing=True is no Racing; make one"),
        ({"racing": Racing(), "fidelity": "tuned"}, "saves validation batches"),
        ({"racing": Racing(), "objective": lambda o, t: (o.sum(), o.sum())}, "needs a method"),
    ],
)
def test_what_cannot_be_raced_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        problem(**settings)


def test_a_hopeless_configuration_ends_early() -> None:
    made = raced()
    whole = made.evaluate(bits(8, 8, 8))
    partial = made.evaluate(bits(1, 1, 1), incumbent=bits(8, 8, 8))
    assert (whole.partial, whole.standard_error, whole.samples) == (False, None, 300)
    assert partial.partial
    assert partial.samples < 300
    assert partial.standard_error is not None
    assert partial.standard_error > 0
    assert partial.loss > whole.loss
    assert partial.size_bytes == made.unmeasured(bits(1, 1, 1)).size_bytes  # costs are exact


LOSER, INCUMBENT, WEAK = bits(1, 1, 1), bits(8, 8, 8), bits(8, 1, 8)
BAD = bits(3, 3, 3)


def told(made: QuantizationProblem) -> None:
    """Take the loser's measurement over, as from a worker."""
    kept = made._measurements
    kept.take(LOSER, raced()._measurements.answer(kept.question(LOSER)))


def told_between_races(made: QuantizationProblem) -> None:
    made.evaluate(LOSER, incumbent=BAD)
    told(made)


BEFORE: dict[str, Callable[[QuantizationProblem], object]] = {
    "the loser by a worker": told,
    "the loser by a worker after a shorter race": told_between_races,
    "the loser by a worker before a shorter race": lambda made: (
        told(made),
        made.evaluate(LOSER, incumbent=BAD),
    ),
    "nothing": lambda made: None,
    "the loser whole": lambda made: made.evaluate(LOSER),
    "the incumbent whole": lambda made: made.evaluate(INCUMBENT),
    "both whole": lambda made: made.evaluate_many([LOSER, INCUMBENT]),
    "the same race": lambda made: made.evaluate(LOSER, incumbent=INCUMBENT),
    "a longer race": lambda made: made.evaluate(LOSER, incumbent=WEAK),
    "a race to its end": lambda made: made.evaluate(LOSER, incumbent=bits(1, 2, 1)),
    "the incumbent's own race": lambda made: made.evaluate(INCUMBENT, incumbent=LOSER),
}


@functools.cache
def alone(incumbent: QuantizationConfig | None) -> Score:
    """The loser's score where nothing else was ever asked."""
    return raced().evaluate(LOSER, incumbent=incumbent)


@pytest.mark.parametrize("where", ["stored", "remembered with a store", "remembered"])
@pytest.mark.parametrize("before", BEFORE)
def test_a_race_ends_alike_whatever_is_known_before(
    before: str, where: str, tmp_path: Path
) -> None:
    path = None if where == "remembered" else tmp_path / "evaluations.sqlite"
    made = raced(store=path)
    BEFORE[before](made)
    if where == "stored":
        made = raced(store=path)
    for incumbent in (INCUMBENT, WEAK):
        score = made.evaluate(LOSER, incumbent=incumbent)
        assert score == alone(incumbent)
        assert score.partial
    assert made.evaluate(LOSER) == alone(None)  # whole, however it was raced


def test_a_race_that_was_run_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.sqlite"
    with counting() as measured:
        first = raced(store=path).evaluate(LOSER, incumbent=INCUMBENT)
        assert measured.call_count == 2
        made = raced(store=path)
        assert [made.evaluate(LOSER, incumbent=INCUMBENT) for _ in range(2)] == [first, first]
        assert measured.call_count == 2
    assert made.store is not None
    assert made.store.count() == 1  # the incumbent; what lost was not measured whole


def test_a_race_that_needs_more_than_is_known_is_run_once_more(tmp_path: Path) -> None:
    made = raced(store=tmp_path / "evaluations.sqlite")
    short = made.evaluate(LOSER, incumbent=INCUMBENT)
    with counting() as measured:
        longer = made.evaluate(LOSER, incumbent=WEAK)
        assert longer.samples > short.samples
        assert measured.call_count == 2
        assert made.evaluate(LOSER, incumbent=WEAK) == longer
        assert made.evaluate(LOSER, incumbent=INCUMBENT) == short
        assert measured.call_count == 2
    assert longer == raced().evaluate(LOSER, incumbent=WEAK)


def test_what_another_process_measured_meanwhile_changes_no_race(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.sqlite"
    made, other = raced(store=path), raced(store=path)
    made.evaluate(LOSER, incumbent=INCUMBENT)
    other.evaluate(LOSER)
    longer = made.evaluate(LOSER, incumbent=WEAK)
    assert longer.partial
    assert longer == raced().evaluate(LOSER, incumbent=WEAK)


def test_another_confidence_races_on_the_same_store(tmp_path: Path) -> None:
    path, strict = tmp_path / "evaluations.sqlite", Racing(confidence=0.9999999)
    first = raced(store=path).evaluate(LOSER, incumbent=INCUMBENT)
    score = raced(store=path, racing=strict).evaluate(LOSER, incumbent=INCUMBENT)
    assert score == raced(racing=strict).evaluate(LOSER, incumbent=INCUMBENT) != first
    assert raced(store=path).evaluate(LOSER, incumbent=INCUMBENT) == first


def test_looks_that_memory_has_no_room_for_are_found_in_the_store_or_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "LOOKS_BYTES", 0)
    kept, bare = raced(store=tmp_path / "evaluations.sqlite"), raced()
    first = [made.evaluate(LOSER, incumbent=INCUMBENT) for made in (kept, bare)]
    with counting() as measured:
        again = [made.evaluate(LOSER, incumbent=INCUMBENT) for made in (kept, bare)]
    assert first == again
    assert measured.call_count == 2  # by the one that has no store


def test_what_follows_a_race_that_was_broken_off_is_right() -> None:
    made, plain = raced(), raced()
    for config in (bits(1, 1, 1), bits(1, 1, 8), bits(1, 8, 1)):
        assert made.evaluate(config, incumbent=INCUMBENT).partial
    for config in (bits(1, 1, 1), bits(1, 1, 8), bits(8, 8, 3)):
        assert made.evaluate(config) == plain.evaluate(config)


def test_an_estimate_is_the_incumbents_loss_and_the_paired_difference() -> None:
    made = raced()
    given_up, whole = made.evaluate(LOSER, incumbent=INCUMBENT), made.evaluate(LOSER)
    assert given_up.samples < whole.samples == 300
    assert given_up.samples % 20 == 0
    assert given_up.standard_error is not None
    assert abs(given_up.loss - whole.loss) < 4 * given_up.standard_error
    batches = made.validation.first(given_up.samples).batches(20)
    losses = []
    for config in (LOSER, INCUMBENT):
        outputs = outputs_of(made, config, batches)
        losses.append(torch.cat([Classification().losses(*each) for each in outputs]))
    difference = float((losses[0] - losses[1]).mean())
    assert given_up.loss == pytest.approx(made.evaluate(INCUMBENT).loss + difference, rel=1e-5)
    correct = sum(float((o.argmax(1) == t).sum()) for o, t in outputs_of(made, LOSER, batches))
    assert given_up.accuracy == pytest.approx(correct / given_up.samples)


def test_of_one_batch_nothing_is_saved() -> None:
    assert not raced(batch_size=300).evaluate(LOSER, incumbent=INCUMBENT).partial


def test_an_objective_that_gives_no_loss_a_sample_is_refused() -> None:
    with pytest.raises(DataError, match=r"gave the shape \(20, 1\) for 20 samples"):
        raced(objective=Columns()).evaluate(INCUMBENT)


def test_who_is_raced_to_the_end_has_the_score_of_a_whole_evaluation() -> None:
    first, second = raced(), raced()
    score = first.evaluate(bits(8, 8, 8), incumbent=bits(1, 1, 1))
    assert score == second.evaluate(bits(8, 8, 8))
    assert not score.partial


def test_racing_changes_the_order_of_samples_and_nothing_else() -> None:
    whole = raced(racing=None).evaluate(bits(4, 4, 4))
    score = raced().evaluate(bits(4, 4, 4))
    assert score.loss == pytest.approx(whole.loss, rel=1e-6)
    assert score.accuracy == pytest.approx(whole.accuracy)
    assert raced().float_score.loss == pytest.approx(raced(racing=None).float_score.loss, rel=1e-6)


def test_races_have_a_fingerprint_of_their_own_by_their_order() -> None:
    prints = [raced(racing=racing).fingerprint for racing in (None, Racing(), Racing(seed=1))]
    assert len(set(prints)) == 3
    assert raced(racing=Racing(top=2, confidence=0.9)).fingerprint == prints[1]  # the same scores


def test_without_racing_a_incumbent_changes_nothing() -> None:
    made = problem()
    assert made.evaluate(bits(1, 1, 1), incumbent=bits(8, 8, 8)) == problem().evaluate(
        bits(1, 1, 1)
    )


class Columns(Classification):
    """Losses of the wrong shape."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return Classification().losses(outputs, targets)[:, None]


class Strict:
    """Classification whose loss is infinite where all classes are nearly equal."""

    name = "strict"

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.losses(outputs, targets).sum(), Classification()(outputs, targets)[1]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        found = Classification().losses(outputs, targets)
        spread = outputs.amax(dim=1) - outputs.amin(dim=1)
        return found.where(spread > 1.0, torch.tensor(math.inf))

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        pass


def test_losses_that_are_not_finite_lose_and_are_beaten() -> None:
    made = raced(objective=Strict())
    finite = made.evaluate(bits(8, 8, 8))
    assert math.isfinite(finite.loss)
    given_up = made.evaluate(bits(8, 1, 8), incumbent=bits(8, 8, 8))
    assert (given_up.partial, given_up.loss, given_up.standard_error) == (True, math.inf, math.inf)
    whole = raced(objective=Strict())
    assert whole.evaluate(bits(8, 1, 8)).loss == math.inf
    assert whole.evaluate(bits(8, 8, 8), incumbent=bits(8, 1, 8)) == finite


@pytest.mark.parametrize("top", [1, 2])
def test_a_search_never_returns_what_it_gave_up(top: int) -> None:
    made = raced(racing=Racing(top=top))
    result = search_problem(made, searcher="random", evaluations=30, seed=0)
    partial = [e for e in result.history if e.score.partial]
    assert partial
    assert not any(e.final for e in partial)
    assert not result.score.partial
    assert not any(score.partial for _, score in result.pareto)
    whole = [e.score.loss for e in result.history if not e.score.partial]
    assert result.score.loss == min(whole)


@pytest.mark.parametrize(
    ("loss", "partial", "error"),
    [(1.5, True, 0.15), (math.inf, True, math.inf), (math.inf, False, None), (1.5, False, None)],
)
def test_a_score_survives_json(loss: float, partial: bool, error: float | None) -> None:
    score = Score(
        loss=loss,
        accuracy=0.5,
        size_bytes=1,
        average_bits=1.0,
        size_ratio=0.1,
        bops=1,
        partial=partial,
        standard_error=error,
    )
    assert Score.from_json(score.to_json()) == score
    json.loads(score.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_a_score_from_before_there_were_races_is_read() -> None:
    text = '{"loss": 1.0, "accuracy": 0.5, "size_bytes": 1, "average_bits": 1.0, '
    assert not Score.from_json(text + '"size_ratio": 0.1, "bops": 1}').partial


def test_the_losses_of_samples_add_up_to_the_batchs() -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(10, 3, generator=draw)
    targets = torch.randint(0, 3, (10,), generator=draw)
    judge = Classification()
    total = float(judge(outputs, targets)[0])
    assert float(judge.losses(outputs, targets).sum()) == pytest.approx(total, rel=1e-6)
