"""What a search has to say of an evaluation, by the names that loggers write it under."""

from __future__ import annotations

from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session


def scalars_of(session: Session, evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation, and the best so far where something is feasible."""
    score, best = evaluation.score, session.best
    figures = {
        "search/accuracy": score.accuracy,
        "search/loss": score.loss,
        "search/average_bits": score.average_bits,
        "search/size_bytes": float(score.size_bytes),
        "search/evaluations": float(evaluation.number),
        "search/episodes": float(session.episodes),
    }
    if best is not None:
        figures["search/best_accuracy"] = best.score.accuracy
        figures["search/best_loss"] = best.score.loss
    return figures
