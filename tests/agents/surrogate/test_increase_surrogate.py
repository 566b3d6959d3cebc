"""The surrogate of expected increases: what it says before and after evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant_agents.surrogate.increase_surrogate import IncreaseSurrogate

NAMES = [f"block.{block}.{kind}" for block in range(4) for kind in ("up", "down")]
FLOAT_LOSS = 0.5
INCREASES = np.tile(np.array([0.2, 0.05, 0.0]), (len(NAMES), 1)) * np.arange(1, 9)[:, None] / 8


def surrogate(shift: float = 0.0) -> IncreaseSurrogate:
    return IncreaseSurrogate(INCREASES, NAMES, FLOAT_LOSS, shift)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, size=(count, len(NAMES)))


def near_rows(count: int) -> np.ndarray:
    """Return rows whose increases lie within a factor of two of one another."""
    many = rows(400, seed=3)
    above = sums(many) - FLOAT_LOSS
    return many[(above > 0.3) & (above < 0.6)][:count]


def sums(chosen: np.ndarray, increases: np.ndarray = INCREASES) -> np.ndarray:
    return FLOAT_LOSS + increases[np.arange(len(NAMES)), chosen].sum(axis=1)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_before_anything_is_known_increases_add_up(shift: float) -> None:
    expected, deviation = surrogate(shift).predict(rows(9))
    assert expected == pytest.approx(np.log(sums(rows(9)) + shift))
    assert (deviation > 0).all()


def test_what_was_evaluated_is_predicted_and_more_surely() -> None:
    model, known = surrogate(), near_rows(6)
    _, before = model.predict(known)
    losses = sums(known) * 1.1
    model.fit(known, np.log(losses))
    expected, after = model.predict(known)
    assert expected == pytest.approx(np.log(losses), abs=0.03)
    assert (after < before).all()


def test_layers_of_a_role_learn_from_one_another() -> None:
    """Only some "up" layers are ever varied, and cost twice what was expected."""
    model = surrogate()
    twice = INCREASES * np.array([2.0, 1.0] * 4)[:, None]
    known = np.full((12, len(NAMES)), 2)
    known[:, [0, 2, 4]] = np.random.default_rng(1).integers(3, size=(12, 3))
    model.fit(known, np.log(sums(known, twice)))
    drawn = model.draw(np.random.default_rng(0), 0.0)
    ratio = drawn[:, 0] / INCREASES[:, 0]
    assert ratio[6] > 1.2  # an "up" layer that was never varied
    assert (ratio[[1, 3, 5, 7]] < ratio[6]).all()


def test_conditioning_on_a_prediction_leaves_means_and_takes_doubt() -> None:
    model, known, new = surrogate(), near_rows(5), near_rows(6)[5:]
    model.fit(known, np.log(sums(known)))
    expected, before = model.predict(new)
    model.condition_on(new)
    again, after = model.predict(new)
    assert again == pytest.approx(expected, abs=1e-6)
    assert after[0] < 0.6 * before[0]


def test_losses_far_above_the_best_are_left_out() -> None:
    model, known = surrogate(), near_rows(6)
    losses = sums(known)
    wild = np.concatenate([np.log(losses), [np.log(1e6)]])
    model.fit(np.concatenate([known, rows(1, seed=9)]), wild)
    expected, _ = model.predict(known)
    assert expected == pytest.approx(np.log(losses), abs=0.03)


def test_effects_are_differences_of_single_changes() -> None:
    model, base = surrogate(), rows(1)[0]
    found = model.effects(base)
    assert found.shape == INCREASES.shape
    assert found[np.arange(len(base)), base] == pytest.approx(0.0)
    changed = base.copy()
    changed[3] = (base[3] + 1) % 3
    expected = np.log(sums(changed[None]))[0] - np.log(sums(base[None]))[0]
    assert found[3, changed[3]] == pytest.approx(expected)


def drawn_losses(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return losses as the model has them before anything is known, of one draw of multipliers."""
    roles = np.array([[1.0, 0.0], [0.0, 1.0]] * 4) @ generator.normal(0, 0.2, 2)
    own = generator.normal(0, 0.15, len(NAMES))
    options = generator.normal(0, 0.1, INCREASES.shape)
    return sums(chosen, INCREASES * (1 + roles[:, None] + own[:, None] + options))


def test_as_many_losses_lie_within_the_intervals_as_should() -> None:
    within = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        chosen = near_rows(80)
        losses = np.log(drawn_losses(chosen, generator))
        model = surrogate()
        model.fit(chosen[:16], losses[:16])
        expected, deviation = model.predict(chosen[16:])
        spread = np.hypot(deviation, model.unexplained(chosen[16:]))
        within.append(np.abs(losses[16:] - expected) < 1.645 * spread)
    assert 0.8 < np.mean(within) < 0.99


def test_what_all_increases_have_in_common_is_learned() -> None:
    model, known = surrogate(), near_rows(40)
    model.fit(known[:10], np.log(sums(known[:10], 3 * INCREASES)))
    expected, _ = model.predict(known[10:])
    assert expected == pytest.approx(np.log(sums(known[10:], 3 * INCREASES)), abs=0.1)


def test_labels_make_increases_less_sure() -> None:
    noisy = IncreaseSurrogate(INCREASES, NAMES, FLOAT_LOSS, 0.0, 2 / 64)
    known = near_rows(8)
    pairs = []
    for model in (surrogate(), noisy):
        model.fit(known[:4], np.log(sums(known[:4])))
        pairs.append(model.predict(known[4:])[1])
    assert (pairs[1] > 1.2 * pairs[0]).all()
