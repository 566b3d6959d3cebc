"""Increases with less noise: what two estimates agree on is kept, and what one has alone is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.sensitivity.smoothing import smoothed

NAMES = [f"block.{i}.{kind}" for i in range(10) for kind in ("in", "out")]
LAYERS, OPTIONS = len(NAMES), 6


def logs(seed: int, *, roles: float = 0.0, rest: float = 0.0) -> np.ndarray:
    """Levels of layers and options, and so much beside them."""
    draw = np.random.default_rng(seed)
    found = draw.normal(size=(LAYERS, 1)) + draw.normal(size=(1, OPTIONS))
    of_roles = draw.normal(size=(2, OPTIONS))
    return found + roles * np.tile(of_roles, (10, 1)) + rest * draw.normal(size=(LAYERS, OPTIONS))


def noisy(true: np.ndarray, noise: float, seed: int = 9) -> np.ndarray:
    return np.exp(true + noise * np.random.default_rng(seed).normal(size=(2, *true.shape)))


@pytest.mark.parametrize(("roles", "rest"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_what_is_no_noise_stays(roles: float, rest: float) -> None:
    true = np.exp(logs(0, roles=roles, rest=rest))
    assert smoothed(np.stack([true, true]), NAMES) == pytest.approx(true)


@pytest.mark.parametrize(
    ("roles", "rest", "left"), [(0.0, 0.0, 0.7), (0.5, 0.0, 0.8), (0.2, 0.2, 0.97)]
)
@pytest.mark.parametrize("seed", range(3))
def test_noise_becomes_less(roles: float, rest: float, left: float, seed: int) -> None:
    true = logs(seed, roles=roles, rest=rest)
    halves = noisy(true, 0.4)
    before = np.log(halves.mean(axis=0)) - true
    after = np.log(smoothed(halves, NAMES)) - true
    assert after.std() < left * before.std()


def test_two_estimates_that_agree_on_nothing_leave_levels_alone() -> None:
    halves = noisy(np.zeros((LAYERS, OPTIONS)), 0.3)
    found = np.log(smoothed(halves, NAMES))
    assert found - found.mean(axis=0) - found.mean(axis=1, keepdims=True) == pytest.approx(
        -found.mean(), abs=0.05
    )


@given(seed=st.integers(0, 1000), missing=st.integers(0, LAYERS * OPTIONS))
def test_options_that_layers_do_not_have_stay_zero_and_change_no_other(
    seed: int, missing: int
) -> None:
    draw = np.random.default_rng(seed)
    known = np.ones(LAYERS * OPTIONS, dtype=bool)
    known[draw.permutation(LAYERS * OPTIONS)[:missing]] = False
    known = known.reshape(LAYERS, OPTIONS)
    true = np.where(known, np.exp(logs(seed)), 0.0)
    found = smoothed(np.stack([true, true]), NAMES)
    assert found == pytest.approx(true, rel=1e-6)
