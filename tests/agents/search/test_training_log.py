"""A training run as TensorBoard shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlquant.errors import StorageError
from rlquant.samples import Samples
from rlquant.training.fixed_point.fixed_point import train_fixed_point
from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant_agents.search.training_log import TensorBoardTrainingLog
from small_networks import Mlp, fresh, samples


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_every_figure_is_written(tmp_path: Path) -> None:
    with TensorBoardTrainingLog(tmp_path) as log:
        assert log(10, {"loss": 0.5, "lost_updates": 0.25}) is None
        log(20, {"loss": 0.25})
    assert read(tmp_path) == {
        "train/loss": [(10, 0.5), (20, 0.25)],
        "train/lost_updates": [(10, 0.25)],
    }


def test_a_fixed_point_run_shows_lost_updates_and_saturation(tmp_path: Path) -> None:
    inputs, labels = samples(64)
    settings = TrainSettings(steps=20, optimizer="sgd", arithmetic=FixedPoint(8, 8))
    with TensorBoardTrainingLog(tmp_path) as log:
        train_fixed_point(fresh(Mlp), Samples((inputs,), labels), settings, seed=0, watch=log)
    written = read(tmp_path)
    assert {"train/lost_updates", "train/saturated_weights", "train/loss"} <= set(written)
    assert [step for step, _ in written["train/lost_updates"]] == [10, 20]
    assert written["train/steps_left"][-1] == (20, 0.0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        TensorBoardTrainingLog(tmp_path / "file")
