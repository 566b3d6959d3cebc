"""The landscape: what it predicts of what it was shown, and of what it was not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlquant import SearchSpace
from rlquant_agents.surrogate.kernel import Kernel, Shape
from rlquant_agents.surrogate.landscape import (
    MOST_ROWS,
    Landscape,
    expected_improvement,
    weight_errors,
)
from toy_problem import MIXED, ToyProblem


def measured(problem: ToyProblem) -> tuple[np.ndarray, np.ndarray]:
    options, layers = len(problem.feasible.options), len(problem.layers)
    rows = np.array(list(itertools.islice(np.ndindex(*[options] * layers), 100_000)))
    if len(rows) > 500:
        rows = rows[np.sort(np.random.default_rng(1).choice(len(rows), 500, replace=False))]
    losses = [problem.evaluate(problem.feasible.config(row)).loss for row in rows]
    return rows, np.log(losses)


def landscape_of(problem: ToyProblem) -> Landscape:
    return Landscape(problem.layers, problem.feasible.options)


def kernel_of(problem: ToyProblem) -> Kernel:
    options = problem.feasible.options
    return Kernel(weight_errors(problem.layers, options), options)


@pytest.mark.parametrize("space", [SearchSpace(), MIXED], ids=["bits", "mixed"])
def test_a_sum_over_layers_is_learnt_from_a_few_of_many(space: SearchSpace) -> None:
    problem = ToyProblem(3, 5.0, space)
    rows, damages = measured(problem)
    generator = np.random.default_rng(0)
    shown = generator.choice(len(rows), size=60, replace=False)
    landscape = landscape_of(problem)
    landscape.learn(rows[shown], damages[shown])
    expected, _ = landscape.predict(rows)
    good = damages < np.quantile(damages[shown], 0.5)  # bad ones are capped
    correlation = np.corrcoef(expected[good], damages[good])[0, 1]
    assert correlation > 0.9
    assert damages[expected.argmin()] < damages.min() + 0.1 * np.ptp(damages)


def test_what_was_measured_is_predicted_and_surely() -> None:
    problem = ToyProblem(3, 5.0)
    rows, damages = measured(problem)
    landscape = landscape_of(problem)
    landscape.learn(rows[::9], damages[::9])
    expected, deviation = landscape.predict(rows)
    cap = np.quantile(damages[::9], 0.85)
    assert expected[::9] == pytest.approx(np.minimum(damages[::9], cap), abs=0.15)
    assert deviation[::9].max() < np.delete(deviation, np.s_[::9]).mean()


def test_the_variance_is_a_configurations_likeness_to_itself() -> None:
    problem = ToyProblem(3, 5.0, MIXED)
    kernel = Kernel(
        weight_errors(problem.layers, problem.feasible.options), problem.feasible.options
    )
    rows = measured(problem)[0][::20]
    shape = Shape.plain(3)
    for change, _ in kernel.changes():
        shape = change(shape)
        like = kernel.between(shape, rows, rows)
        assert np.diag(like) == pytest.approx(kernel.variance(shape))
        assert np.allclose(like, like.T)
        assert np.linalg.eigvalsh(like).min() > -1e-9 * len(rows)  # a likeness that can be


def test_the_pairs_part_is_the_sum_over_pairs() -> None:
    problem = ToyProblem(3, 5.0)
    kernel = Kernel(
        weight_errors(problem.layers, problem.feasible.options), problem.feasible.options
    )
    a, b = np.array([[0, 1, 2]]), np.array([[1, 1, 3]])
    bits = np.array([option.bits for option in problem.feasible.options], dtype=float)
    near = np.exp(-((bits[a[0]] - bits[b[0]]) ** 2) / 2)  # fading 0: rate 0, width 1
    w = np.array([1.0, 2.5, 1.0])
    shape = Shape(likeness=0, mixture=1, level=0, noise_level=0, weights=tuple(w))
    alone = (w * near).sum() / w.sum()
    pairs = sum(w[i] * near[i] * w[j] * near[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    most = sum(w[i] * w[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert kernel.between(shape, a, b)[0, 0] == pytest.approx(0.6 * alone + 0.4 * pairs / most + 1)


def test_belief_makes_sure_without_moving_the_prediction() -> None:
    problem = ToyProblem(3, 5.0)
    rows, damages = measured(problem)
    landscape = landscape_of(problem)
    landscape.learn(rows[::20], damages[::20])
    row = rows[7:8]
    before, unsure = landscape.predict(row)
    landscape.believe(row)
    after, sure = landscape.predict(row)
    assert after == pytest.approx(before, abs=1e-3)
    assert sure < unsure
    landscape.learn(rows[::20], damages[::20])
    assert landscape.predict(row)[1] == pytest.approx(unsure)


def test_effects_are_differences_of_predictions() -> None:
    problem = ToyProblem(3, 5.0)
    rows, damages = measured(problem)
    landscape = landscape_of(problem)
    landscape.learn(rows[::20], damages[::20])
    base = np.array([1, 2, 0])
    effects = landscape.effects(base)
    changed = np.array([[1, 3, 0]])
    difference = landscape.predict(changed)[0] - landscape.predict(base[None])[0]
    assert effects.shape == (3, 4)
    assert effects[1, 3] == pytest.approx(difference[0])
    assert effects[np.arange(3), base] == pytest.approx(0, abs=1e-9)


def test_of_very_many_the_best_and_the_latest_are_learnt() -> None:
    problem = ToyProblem(5, 5.0)
    rows, damages = measured(problem)
    assert len(rows) > MOST_ROWS
    landscape = landscape_of(problem)
    landscape.learn(rows, damages)
    best, latest = rows[damages.argmin()], rows[-1]
    _, deviation = landscape.predict(np.array([best, latest]))
    assert deviation.max() < 0.2 * landscape.spread


def test_one_measurement_and_equal_ones_are_enough_to_predict() -> None:
    problem = ToyProblem(3, 5.0)
    rows, _ = measured(problem)
    for count in (1, 3):
        landscape = landscape_of(problem)
        landscape.learn(rows[:count], np.full(count, 0.5))
        expected, deviation = landscape.predict(rows)
        assert np.isfinite(expected).all()
        assert (deviation > 0).all()


def test_of_one_layer_a_landscape_is_learnt_too() -> None:
    problem = ToyProblem(1, 40.0, MIXED)
    rows, damages = measured(problem)
    landscape = landscape_of(problem)
    for count in range(2, len(rows)):
        landscape.learn(rows[:count], damages[:count])
    expected, _ = landscape.predict(rows)
    assert np.isfinite(expected).all()


def test_many_rows_are_predicted_as_a_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ToyProblem(3, 5.0)
    rows, damages = measured(problem)
    landscape = landscape_of(problem)
    landscape.learn(rows[::9], damages[::9])
    whole = landscape.predict(rows)
    monkeypatch.setattr("rlquant_agents.surrogate.landscape.AT_ONCE", 7)
    for part, all_of_it in zip(landscape.predict(rows), whole, strict=True):
        assert part == pytest.approx(all_of_it)


def test_expected_improvement_falls_where_it_is_tiny_too() -> None:
    z = np.linspace(-30, 0, 400)
    found = expected_improvement(-z, np.ones(400), best=0.0)
    assert (np.diff(found) > 0).all()
    assert found[0] > 0


def test_expected_improvement_by_hand() -> None:
    found = expected_improvement(np.array([0.0, 1.0]), np.array([1.0, 1e-9]), best=0.0)
    assert found == pytest.approx([1 / np.sqrt(2 * np.pi), 0.0])
    sure = expected_improvement(np.array([-2.0]), np.array([1e-9]), best=0.5)
    assert sure == pytest.approx([2.5])
