"""TorchRL makes our environments as it makes any; skipped where it is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rl-libraries.md"
IDS = ("rlquant/TabularQuantization-v0", "rlquant/LayerwiseQuantization-v0")


@pytest.fixture(scope="module")
def torchrl() -> Any:
    return pytest.importorskip("torchrl.envs", reason="pip install torchrl")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", IDS)
def test_two_at_once_end_as_the_environment_alone(torchrl: Any, name: str) -> None:
    alone = gymnasium.make(f"rlquant_envs:{name}")
    steps = len(alone.unwrapped.problem.feasible)  # type: ignore[attr-defined]
    pair = torchrl.GymEnv(f"rlquant_envs:{name}", num_envs=2, categorical_action_encoding=True)
    try:
        played = pair.rollout(2 * steps, break_when_any_done=False)
    finally:
        pair.close()
    ends = played["next", "terminated"].squeeze(-1).nonzero().tolist()
    assert ends == [[env, steps * k - 1] for env in range(2) for k in (1, 2)]
    rewards = played["next", "reward"].squeeze(-1)
    for env in range(2):
        for begin in (0, steps):
            alone.reset()
            for at in range(begin, begin + steps):
                mask = alone.unwrapped.action_masks()  # type: ignore[attr-defined]
                assert played["action_mask"][env, at].tolist() == mask.tolist()
                action = np.atleast_1d(played["action"][env, at].numpy())
                reward = alone.step(action)[1]
                assert rewards[env, at].item() == pytest.approx(reward, rel=1e-6)


def test_the_page_runs_as_a_file(torchrl: Any, tmp_path: Path) -> None:
    (text,) = re.findall(r'```python title="(?:\w+).py"\n(.*?)```', PAGE.read_text("utf-8"), re.S)
    file = tmp_path / "torchrl_rollout.py"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 100, 9])" in done.stdout
