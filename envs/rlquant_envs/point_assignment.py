"""The environment of the future work of Polino et al. 2018: which point each weight goes to."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary

from rlquant import RlquantError, tasks
from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import Points
from rlquant.documents.schema import shown
from rlquant.errors import SettingsError
from rlquant.network.layer_problem import layer_problem
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.layer_problem import GROUP_FEATURES, LayerProblem
from rlquant_envs.rendering import require_no_rendering

Observation = npt.NDArray[np.float32]

DEFAULT_TASK = "digits/mlp"


class PointAssignment(gymnasium.Env[Observation, Any]):
    """Decide for groups of a layer's weights whether they go up or down.

    An episode begins at nearest rounding, and its rewards add up to the share of nearest rounding's
    error of the layer's outputs that is saved: 0 for nearest rounding, 1 for the float layer.
    Either all groups are decided at once, in an episode of one step, or one group a step.

    Args:
        problem: what to decide on; or give `task`.
        one_at_a_time: one group a step, each seen after the decisions before it.
        task: name of a registered task, e.g. "digits/mlp".
        layer: name of a layer of the task's network; the first by default.
        bits, points, weights_per_action, calibration_samples: see `layer_problem`.

    Raises:
        SettingsError: both `problem` and what only `task` uses.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own interface

    @explained
    @isolated()
    def __init__(
        self,
        problem: LayerProblem | None = None,
        *,
        one_at_a_time: bool = False,
        task: str | None = None,
        layer: str | None = None,
        bits: int | None = None,
        points: Points | None = None,
        weights_per_action: int | None = None,
        calibration_samples: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        require_no_rendering(render_mode)
        given = {
            "bits": bits,
            "points": points,
            "weights_per_action": weights_per_action,
            "calibration_samples": calibration_samples,
        }
        settings: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if problem is None:
            chosen = tasks.load(task or DEFAULT_TASK)
            problem = layer_problem(chosen.network, chosen.train, layer, **settings)
        elif settings or task is not None or layer is not None:
            raise SettingsError(
                "PointAssignment: task, layer, bits, points, weights_per_action and "
                "calibration_samples make a problem; leave them out where problem is given"
            )
        if not isinstance(problem, LayerProblem):
            raise SettingsError(
                f"PointAssignment: problem is {type(problem).__name__}; make one with "
                f"rlquant.layer_problem(network, data), or give task=name"
            )
        self.problem, self.one_at_a_time = problem, one_at_a_time
        self.render_mode = None
        shape: tuple[int, ...] = (len(GROUP_FEATURES),)
        if not one_at_a_time:
            shape = (problem.count, *shape)
        self.observation_space = Box(-1.0, 1.0, shape=shape, dtype=np.float32)
        self.action_space = Discrete(2) if one_at_a_time else MultiBinary(problem.count)
        self._up = problem.nearest
        self._decided: int | None = None
        self._improvement = 0.0

    @property
    @isolated()
    def quantized(self) -> QuantizedTensor:
        """The layer as it is decided so far, at nearest rounding where it is not."""
        return self.problem.assigned(self._up)

    @explained
    @isolated()
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode at nearest rounding; nothing is drawn."""
        super().reset(seed=seed)
        self._up, self._decided, self._improvement = self.problem.nearest, 0, 0.0
        return self._observe(), {}

    @isolated()
    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide all groups or the next one; `info` of the last step has the layer's codes."""
        if self._decided is None or self._decided == self.problem.count:
            raise RlquantError("the episode is over or has not begun: call reset() first")
        chosen = self._require(action)
        up = self._up.clone()
        if self.one_at_a_time:
            up[self._decided] = chosen
        else:
            up = chosen
        self._up = up
        self._decided = self._decided + 1 if self.one_at_a_time else self.problem.count
        before, self._improvement = self._improvement, self.problem.improvement(up)
        done = self._decided == self.problem.count
        info: dict[str, Any] = {"improvement": self._improvement}
        if done:
            info["codes"] = self.quantized.codes.cpu().numpy()
        return self._observe(), self._improvement - before, done, False, info

    def _observe(self) -> Observation:
        features = self.problem.features(self._up)
        if self.one_at_a_time:
            assert self._decided is not None
            features = features[min(self._decided, self.problem.count - 1)]
        return features.cpu().numpy().astype(np.float32)

    def _require(self, action: Any) -> torch.Tensor:
        expected = () if self.one_at_a_time else (self.problem.count,)
        try:
            given = np.asarray(action)
            known = given.shape == expected and np.isin(given, (0, 1)).all()
        except (TypeError, ValueError, RuntimeError):  # no numbers
            known = False
        if not known:
            raise SettingsError(
                f"action {shown(action)} is not in {self.action_space}: 1 for up, 0 for down"
            )
        return torch.as_tensor(given.astype(np.bool_), device=self._up.device)
