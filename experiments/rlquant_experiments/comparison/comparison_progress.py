"""Progress of a comparison, with the time left."""

from __future__ import annotations

from tqdm import tqdm

from rlquant.escaping import printable
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Callback, Session


class RunsBar(Callback):
    """One progress bar over all runs, with the time left for all of them.

    Args:
        runs: how many there are.
        evaluations: what each may use.
    """

    def __init__(self, runs: int, evaluations: int) -> None:
        self._evaluations = evaluations
        self._done = 0
        self.bar = tqdm(total=runs * evaluations, unit="evaluation", mininterval=0.5)

    def begin(self, name: str) -> None:
        """Name the run that begins."""
        self.bar.set_description(printable(name))

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Move on by one."""
        self.bar.update(1)

    def end(self, name: str) -> None:
        """Count what the run did not use as done, so that the time left stays right."""
        self.begin(name)
        self._done += self._evaluations
        self.bar.update(self._done - self.bar.n)
