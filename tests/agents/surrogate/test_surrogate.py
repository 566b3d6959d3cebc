"""The surrogate: what it predicts of what it was fitted to, and of everything else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlquant import SearchSpace
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.surrogate.acquisition import expected_improvement
from rlquant_agents.surrogate.kernel import (
    MANY_LAYERS,
    MANY_ROWS,
    Kernel,
    KernelHyperparameters,
    sum_over_layers,
    sum_over_pairs,
)
from rlquant_agents.surrogate.posterior import Posterior
from rlquant_agents.surrogate.surrogate import MOST_ROWS, Surrogate
from rlquant_agents.surrogate.weight_error import weight_errors


def measured(problem: ToyProblem) -> tuple[np.ndarray, np.ndarray]:
    options, layers = len(problem.feasible.options), len(problem.layers)
    rows = np.array(list(itertools.islice(np.ndindex(*[options] * layers), 100_000)))
    if len(rows) > 500:
        rows = rows[np.sort(np.random.default_rng(1).choice(len(rows), 500, replace=False))]
    losses = [problem.evaluate(problem.feasible.config(row)).loss for row in rows]
    return rows, np.log(losses)


def surrogate_of(problem: ToyProblem) -> Surrogate:
    return Surrogate(problem.layers, problem.feasible.options)


def kernel_of(problem: ToyProblem) -> Kernel:
    options = problem.feasible.options
    return Kernel(weight_errors(problem.layers, options), options)


@pytest.mark.parametrize("space", [SearchSpace(), MIXED], ids=["bits", "mixed"])
def test_a_sum_over_layers_is_fitted_from_a_few_of_many(space: SearchSpace) -> None:
    problem = ToyProblem(3, 5.0, space)
    rows, log_losses = measured(problem)
    generator = np.random.default_rng(0)
    shown = generator.choice(len(rows), size=60, replace=False)
    surrogate = surrogate_of(problem)
    surrogate.fit(rows[shown], log_losses[shown])
    expected, _ = surrogate.predict(rows)
    good = log_losses < np.quantile(log_losses[shown], 0.5)  # bad ones are capped
    correlation = np.corrcoef(expected[good], log_losses[good])[0, 1]
    assert correlation > 0.9
    assert log_losses[expected.argmin()] < log_losses.min() + 0.1 * np.ptp(log_losses)


def test_what_was_measured_is_predicted_and_surely() -> None:
    problem = ToyProblem(3, 5.0)
    rows, log_losses = measured(problem)
    surrogate = surrogate_of(problem)
    surrogate.fit(rows[::9], log_losses[::9])
    expected, deviation = surrogate.predict(rows)
    cap = np.quantile(log_losses[::9], 0.85)
    assert expected[::9] == pytest.approx(np.minimum(log_losses[::9], cap), abs=0.15)
    assert deviation[::9].max() < np.delete(deviation, np.s_[::9]).mean()


def test_the_variance_is_a_configurations_covariance_with_itself() -> None:
    problem = ToyProblem(3, 5.0, MIXED)
    kernel = kernel_of(problem)
    rows = measured(problem)[0][::20]
    chosen = KernelHyperparameters.initial(3)
    for change, _ in kernel.changes():
        chosen = change(chosen)
        covariance = kernel(chosen, rows, rows)
        assert np.diag(covariance) == pytest.approx(kernel.variance(chosen))
        assert np.allclose(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > -1e-9 * len(rows)  # a covariance that can be


def test_the_pairs_part_is_the_sum_over_pairs() -> None:
    problem = ToyProblem(3, 5.0)
    kernel = kernel_of(problem)
    a, b = np.array([[0, 1, 2]]), np.array([[1, 1, 3]])
    bits = np.array([option.bits for option in problem.feasible.options], dtype=float)
    near = np.exp(-((bits[a[0]] - bits[b[0]]) ** 2) / 2)  # rate 0, length scale 1
    w = np.array([1.0, 2.5, 1.0])
    chosen = KernelHyperparameters(
        correlation=0, components=1, error_variance=0, noise=0, weights=tuple(w)
    )
    alone = (w * near).sum() / w.sum()
    pairs = sum(w[i] * near[i] * w[j] * near[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    most = sum(w[i] * w[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert kernel(chosen, a, b)[0, 0] == pytest.approx(0.6 * alone + 0.4 * pairs / most + 1)


def test_conditioned_on_its_prediction_it_is_sure_and_predicts_the_same() -> None:
    problem = ToyProblem(3, 5.0)
    rows, log_losses = measured(problem)
    surrogate = surrogate_of(problem)
    surrogate.fit(rows[::20], log_losses[::20])
    row = rows[7:8]
    before, unsure = surrogate.predict(row)
    surrogate.condition_on(row)
    after, sure = surrogate.predict(row)
    assert after == pytest.approx(before, abs=1e-3)
    assert sure < unsure
    surrogate.fit(rows[::20], log_losses[::20])
    assert surrogate.predict(row)[1] == pytest.approx(unsure)


def test_effects_are_differences_of_predictions() -> None:
    problem = ToyProblem(3, 5.0)
    rows, log_losses = measured(problem)
    surrogate = surrogate_of(problem)
    surrogate.fit(rows[::20], log_losses[::20])
    base = np.array([1, 2, 0])
    effects = surrogate.effects(base)
    changed = np.array([[1, 3, 0]])
    difference = surrogate.predict(changed)[0] - surrogate.predict(base[None])[0]
    assert effects.shape == (3, 4)
    assert effects[1, 3] == pytest.approx(difference[0])
    assert effects[np.arange(3), base] == pytest.approx(0, abs=1e-9)


def test_of_very_many_the_best_and_the_latest_are_fitted() -> None:
    problem = ToyProblem(5, 5.0)
    rows, log_losses = measured(problem)
    assert len(rows) > MOST_ROWS
    surrogate = surrogate_of(problem)
    surrogate.fit(rows, log_losses)
    best, latest = rows[log_losses.argmin()], rows[-1]
    _, deviation = surrogate.predict(np.array([best, latest]))
    assert deviation.max() < 0.2 * surrogate.spread


def test_one_measurement_and_equal_ones_are_enough_to_predict() -> None:
    problem = ToyProblem(3, 5.0)
    rows, _ = measured(problem)
    for count in (1, 3):
        surrogate = surrogate_of(problem)
        surrogate.fit(rows[:count], np.full(count, 0.5))
        expected, deviation = surrogate.predict(rows)
        assert np.isfinite(expected).all()
        assert (deviation > 0).all()


def test_of_one_layer_a_surrogate_is_fitted_too() -> None:
    problem = ToyProblem(1, 40.0, MIXED)
    rows, log_losses = measured(problem)
    surrogate = surrogate_of(problem)
    for count in range(2, len(rows)):
        surrogate.fit(rows[:count], log_losses[:count])
    expected, _ = surrogate.predict(rows)
    assert np.isfinite(expected).all()


def test_many_rows_are_predicted_as_a_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ToyProblem(3, 5.0)
    rows, log_losses = measured(problem)
    surrogate = surrogate_of(problem)
    surrogate.fit(rows[::9], log_losses[::9])
    whole = surrogate.predict(rows)
    monkeypatch.setattr("rlquant_agents.surrogate.surrogate.AT_ONCE", 7)
    for part, all_of_it in zip(surrogate.predict(rows), whole, strict=True):
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


def test_sums_over_layers_and_pairs_are_those_of_the_tables() -> None:
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(3, 4, 4))
    a, b = generator.integers(4, size=(5, 3)), generator.integers(4, size=(6, 3))
    single = sum_over_layers(tables, a, b)
    for (i, one), (j, other) in itertools.product(enumerate(a), enumerate(b)):
        parts = tables[np.arange(3), one, other]
        pairs = sum(x * y for x, y in itertools.permutations(parts, 2))
        assert single[i, j] == pytest.approx(parts.sum())
        assert sum_over_pairs(single, tables, a, b)[i, j] == pytest.approx(pairs)


def test_the_posterior_is_the_textbooks() -> None:
    generator = np.random.default_rng(0)
    root, values = generator.normal(size=(4, 4)), generator.normal(size=4) + 3
    covariance = root @ root.T + np.eye(4)
    inverse, across = np.linalg.inv(covariance), generator.normal(size=(2, 4))
    found = Posterior.of(covariance, values)
    assert found.mean(across) == pytest.approx(across @ inverse @ values)
    scale = values @ inverse @ values / 4
    left = 50.0 - np.diag(across @ inverse @ across.T)
    assert found.deviation(across, 50.0) == pytest.approx(np.sqrt(scale * left))
    likelihood = -0.5 * (4 * np.log(scale) + np.linalg.slogdet(covariance)[1])
    assert found.log_likelihood == pytest.approx(likelihood)


def test_a_constant_is_fitted_by_generalised_least_squares() -> None:
    covariance = np.array([[1.0, 0.0], [0.0, 4.0]])
    found = Posterior.of(covariance, np.array([1.0, 6.0]), constant=True)
    assert found.constant == pytest.approx((1.0 / 1 + 6.0 / 4) / (1 / 1 + 1 / 4))
    assert found.weights.sum() == pytest.approx(0.0)
    assert found.mean(np.zeros((1, 2))) == pytest.approx([found.constant])


def test_a_sum_over_many_layers_is_the_same_by_differences() -> None:
    generator = np.random.default_rng(0)
    layers, options = MANY_LAYERS + 1, 3
    tables = generator.normal(size=(layers, options, options))
    base = generator.integers(options, size=layers)
    near = np.where(generator.random((MANY_ROWS, layers)) < 0.1, 1, base)
    rows = np.concatenate([near, generator.integers(options, size=(2, layers))])
    others = generator.integers(options, size=(4, layers))
    parts = [sum_over_layers(tables, part, others) for part in np.array_split(rows, 4)]
    assert sum_over_layers(tables, rows, others) == pytest.approx(np.concatenate(parts))


def test_many_layers_share_weights_with_alike_ones() -> None:
    problem = ToyProblem(2 * MANY_LAYERS, 4.0)
    names = [facts.name for facts in problem.layers]
    options = problem.feasible.options
    errors = weight_errors(problem.layers, options)
    assert Kernel(errors, options).weights == 2 * MANY_LAYERS
    assert Kernel(errors, options, names).weights == MANY_LAYERS


def test_a_surrogate_starts_from_its_prior() -> None:
    problem = ToyProblem(3, 5.0)
    effects = np.random.default_rng(0).normal(size=(3, 4))
    rows = np.array(list(np.ndindex(4, 4, 4)))
    log_losses = effects[np.arange(3), rows].sum(axis=1)
    surrogate = surrogate_of(problem)
    surrogate.set_prior(effects)
    best = np.argsort(log_losses)[:20]
    surrogate.fit(rows[best[:2]], log_losses[best[:2]])
    assert surrogate.predict(rows[best])[0] == pytest.approx(log_losses[best], abs=1e-6)
