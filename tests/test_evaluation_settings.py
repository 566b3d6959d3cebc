"""The settings of an evaluation are checked when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlquant import EvaluationSettings
from rlquant.errors import RlquantError


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("calibration_samples", 0, "calibration_samples=0, use a whole number of at least 1"),
        ("validation_samples", 1.5, "validation_samples=1.5, use a whole number of at least 1"),
        ("batch_size", True, "batch_size=True, use a whole number of at least 1"),
        ("prefix_bytes", -1, "prefix_bytes=-1, use a whole number of at least 0"),
        ("prefix_bytes", "all", "prefix_bytes='all', use a whole number of at least 0"),
        ("weight_bank_bytes", -1, "weight_bank_bytes=-1, use a whole number of at least 0"),
        ("weight_bank_folder", "/nowhere/at/all", "is no folder, and none can be made there"),
        ("activation_range", "maximum", "unknown activation range 'maximum'"),
        ("calibrate", True, "calibrate=True is not one of 'auto', 'statistics', 'biases', 'none'"),
        ("stochastic", "yes", "stochastic='yes', give True or False"),
    ],
)
def test_a_value_outside_what_is_allowed_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(RlquantError, match=words):
        EvaluationSettings(**{field: value})


def test_equal_settings_are_equal_whatever_kind_of_number_they_are_given() -> None:
    made = EvaluationSettings(batch_size=np.int64(16), prefix_bytes=np.int64(0))
    assert made == EvaluationSettings(batch_size=16, prefix_bytes=0)
    assert type(made.batch_size) is type(made.prefix_bytes) is int


def test_weights_are_kept_in_a_run_folder_where_no_other_was_named(tmp_path: Path) -> None:
    settings = EvaluationSettings()
    inside = settings.with_weights_in(tmp_path)
    assert inside.weight_bank_folder == str(tmp_path / "weights")
    assert settings.with_weights_in(None) == settings.with_weights_in(tmp_path / "not") == settings
    assert inside.with_weights_in(tmp_path / "..") == inside
