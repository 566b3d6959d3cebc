"""What TensorBoard shows of a search beside its curves: texts, hyperparameters and pictures."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rlquant.escaping import markdown_table
from rlquant_agents.search.event_log import Value
from rlquant_agents.search.result import SearchResult

if TYPE_CHECKING:
    from rlquant_agents.search.session import Session


def outcome_values(session: Session, result: SearchResult) -> list[Value]:
    """Return the settings and the best configuration as texts, and both as hyperparameters."""
    settings = settings_of(session, result)
    rows = [
        [c.layer, str(c.bits), c.method, c.points, c.rounding, str(c.group_size)]
        for c in result.best
    ]
    heads = ["layer", "bits", "method", "points", "rounding", "group size"]
    shown = [[name, str(value)] for name, value in settings.items()]
    return [
        *text_values("settings", markdown_table(["setting", "value"], shown)),
        *text_values("best configuration", markdown_table(heads, rows)),
        *hyperparameter_values(settings, outcome_of(result)),
    ]


def outcome_of(result: SearchResult) -> dict[str, float]:
    """Return the figures of the best configuration."""
    score = result.score
    return {
        "outcome/loss": score.loss,
        "outcome/accuracy": score.accuracy,
        "outcome/average_bits": score.average_bits,
        "outcome/size_bytes": float(score.size_bytes),
    }


def settings_of(session: Session, result: SearchResult) -> dict[str, str | float]:
    """Return what was asked, as TensorBoard and others compare runs by it."""
    return {
        "searcher": result.searcher,
        "quantity": session.budget.quantity,
        "budget": session.budget.limit,
        "fidelity": session.fidelity,
        "evaluations": session.evaluations,
        "seed": result.seed,
        "float loss": session.float_score.loss,
        "float accuracy": session.float_score.accuracy,
    }


def text_values(tag: str, markdown: str) -> list[Value]:
    """Return a text in Markdown."""
    from torch.utils.tensorboard.summary import text

    return list(text(tag, markdown).value)  # type: ignore[no-untyped-call]


def hyperparameter_values(
    settings: Mapping[str, str | float], found: Mapping[str, float]
) -> list[Value]:
    """Return settings and outcomes for the tab HPARAMS, the outcomes as curves of one point too."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard.summary import hparams

    parts = hparams(dict(settings), dict(found))  # type: ignore[no-untyped-call]
    scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in found.items()]
    return [*(value for part in parts for value in part.value), *scalars]


def picture_value(tag: str, png: bytes) -> Value:
    """Return a picture; `png` is a whole file, whose header says how large it is."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)
