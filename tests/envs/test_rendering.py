"""What environments show of an episode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RenderCollection
from stable_baselines3.common.env_util import make_vec_env

from rlquant import SearchSpace
from rlquant.errors import RenderModeError, SettingsError
from rlquant.testing import ToyProblem
from rlquant_envs import TABULAR_ID, LayerwiseQuantization, OneDecisionAtATime
from rlquant_envs.rendering import BLUE, GREY, HEIGHT, MARGIN, RED


def env_of(mode: str | None) -> LayerwiseQuantization:
    return LayerwiseQuantization(ToyProblem(3, 6.0, SearchSpace(bits=(2, 4, 8))), render_mode=mode)


def test_text_tells_what_was_decided_and_what_is_spent() -> None:
    env = env_of("ansi")
    env.reset(seed=0)
    env.step(np.array([1]))
    text = env.render()
    assert isinstance(text, str)
    first = env.problem.layers[0].name
    assert text.splitlines()[1].startswith(first)
    assert "4 bits" in text
    assert "1 of 3 layers decided" in text
    assert "of 6 spent" in text


def heights(picture: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Return the heights of the bars of a colour, from left to right."""
    columns = (picture == colour).all(axis=2).sum(axis=0)
    starts = np.flatnonzero((columns > 0) & (np.roll(columns, 1) == 0))
    return columns[starts].tolist()


def test_a_picture_has_a_bar_of_bits_for_every_layer() -> None:
    env = env_of("rgb_array")
    env.reset(seed=0)
    empty = env.render()
    assert isinstance(empty, np.ndarray)
    assert heights(empty, BLUE) == []
    assert len(heights(empty, GREY)) == 4
    for action in (2, 1):
        env.step(np.array([action]))
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape == empty.shape
    full = HEIGHT - 2 * MARGIN
    assert heights(picture, BLUE) == [full, full // 2]
    (spent,) = heights(picture, RED)
    assert 0 < spent <= full


def test_a_person_reads_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    env = env_of("human")
    env.reset(seed=0)
    for done in (1, 2, 3):
        env.step(np.array([0]))
        assert f"{done} of 3 layers decided" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_frames_of_an_episode_are_collected(mode: str) -> None:
    env = RenderCollection(env_of(mode))
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.array([0]))
    frames: Any = env.render()
    assert len(frames) == 4


def test_gymnasiums_checker_renders() -> None:
    check_env(gymnasium.make(TABULAR_ID, render_mode="rgb_array").unwrapped)


def test_stable_baselines_makes_the_default_table_by_name() -> None:
    assert make_vec_env(TABULAR_ID, n_envs=2).reset().shape[0] == 2


@pytest.mark.parametrize("mode", ["video", "", 3])
def test_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(RenderModeError, match=r"use one of .*ansi.* or None") as caught:
        env_of(mode)
    assert isinstance(caught.value, SettingsError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("wrapped", [False, True])
def test_masks_have_the_form_that_spaces_sample_with(wrapped: bool) -> None:
    base = LayerwiseQuantization(ToyProblem(3, 5.0, SearchSpace(points=("symmetric", "kmeans"))))
    env = OneDecisionAtATime(base) if wrapped else base
    env.reset(seed=0)
    env.action_space.seed(0)
    done = False
    while not done:
        action = env.action_space.sample(mask=env.sample_mask())
        *_, done, _, info = env.step(action)
        assert info["action_mask"].tolist() == env.action_masks().tolist()
        if wrapped:
            assert not info["repaired"]
