"""Arguments of problems, with those of an evaluation put into their value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rlquant import EvaluationSettings

NAMES = [field.name for field in fields(EvaluationSettings)]


def in_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Put what belongs to an evaluation into `evaluation`."""
    inside = {name: value for name, value in arguments.items() if name in NAMES}
    rest = {name: value for name, value in arguments.items() if name not in NAMES}
    return {**rest, "evaluation": EvaluationSettings(**inside)} if inside else rest
