"""Imitation finds what increases leave out, reinforcement raises what landscapes reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from made_landscapes import BITS, made_landscape

from rlquant_experiments.landscapes.landscape import Floats, Landscape
from rlquant_experiments.layer_policy import kept_encoders
from rlquant_experiments.layer_policy.examples import Examples, examples_of, solution_of
from rlquant_experiments.layer_policy.folds import Ensemble, TrainingSettings, folds_of, foreseen
from rlquant_experiments.layer_policy.imitation import ImitationSettings, imitate
from rlquant_experiments.layer_policy.kept_encoders import taught_once
from rlquant_experiments.layer_policy.policy_gradient import (
    ReinforcementSettings,
    Reward,
    reinforce,
)

FACTORS = np.where(BITS == 2, 8.0, 1.0) * np.where(np.arange(6) % 2, 1.0, 5.0)[:, None]
"""What gradients leave out: two bits are 8 times as bad, contractions 5 times."""
QUICK = ImitationSettings(steps=150, rate=5e-3, pull=0.1, width=16, blocks=1)


def landscapes() -> list[Landscape]:
    return [made_landscape(6, seed, factors=FACTORS) for seed in range(6)]


def test_imitation_foresees_networks_it_has_not_seen() -> None:
    learned, held_out = landscapes()[:5], landscapes()[5]
    encoder = Ensemble([imitate(examples_of(learned), QUICK, seed=0)])
    found = foreseen(held_out, {"imitation": encoder})
    (plain,), (corrected,) = found["gradients"], found["imitation"]
    assert corrected.error < 0.5 * plain.error
    assert corrected.rank > plain.rank
    corrections = encoder.corrections(examples_of([held_out]))[0]
    true = held_out.increases * FACTORS

    def loss(answer: np.ndarray) -> float:
        return float(true[np.arange(6), answer].sum())

    limit = held_out.limits[0]
    assert loss(solution_of(held_out, limit, corrections)) <= loss(solution_of(held_out, limit))


def test_reinforcement_finds_the_best_configurations() -> None:
    known = landscapes()[:2]
    examples, settings = examples_of(known), ReinforcementSettings(updates=60, draws=16, rate=1e-2)
    encoder = imitate(examples, ImitationSettings(steps=1, width=16, blocks=1), seed=0)

    def reward_of(landscape: Landscape) -> Reward:
        true = landscape.increases * FACTORS
        return lambda rows: -np.log(true[np.arange(6), rows].sum(axis=1))

    def rewards(corrections: Sequence[Floats]) -> list[float]:
        return [
            float(reward_of(each)(solution_of(each, each.limits[0], own)[None])[0])
            for each, own in zip(known, corrections, strict=True)
        ]

    before = Ensemble([encoder]).corrections(examples)
    learned = reinforce(encoder, known, [reward_of(e) for e in known], examples, settings, seed=0)
    after = rewards(list(Ensemble([learned]).corrections(examples)))
    best = rewards([np.log(FACTORS)] * 2)
    assert sum(after) > sum(rewards(list(before))) + 0.5 * (sum(best) - sum(rewards(list(before))))
    assert (Ensemble([encoder]).corrections(examples) == before).all()


def test_folds_leave_a_family_out() -> None:
    folds = {family: (others, own) for family, others, own in folds_of(landscapes()[:3])}
    assert [each.name for each in folds["family0"][0]] == ["made-1"]
    assert [each.name for each in folds["family0"][1]] == ["made-0", "made-2"]


def test_encoders_are_taught_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = TrainingSettings(
        imitation=ImitationSettings(steps=1, width=8, blocks=1, batch=2),
        reinforcement=ReinforcementSettings(updates=1, draws=2),
        seeds=1,
    )
    known, path = landscapes()[:2], tmp_path / "encoders.safetensors"
    first = taught_once(path, known, few)
    assert set(first) == {"layers alone", "imitation", "imitation + RL"}
    monkeypatch.setattr(kept_encoders, "taught", lambda *_: pytest.fail("taught again"))
    examples = examples_of(known)
    for way, again in taught_once(path, known, few).items():
        assert (again.corrections(examples) == first[way].corrections(examples)).all()
    with pytest.raises(pytest.fail.Exception):
        taught_once(path, known[:1], few)


def test_the_same_seed_teaches_the_same() -> None:
    examples: Examples = examples_of(landscapes()[:2])
    one, other = (imitate(examples, ImitationSettings(steps=2), seed=3) for _ in range(2))
    assert all((one.state_dict()[n] == v).all() for n, v in other.state_dict().items())
