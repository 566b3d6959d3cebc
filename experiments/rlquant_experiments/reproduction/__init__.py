"""Re-running the claims of papers: experiments in, a report with verdicts and a figure out.

A paper is one function in `papers.PAPERS`, from a `Scale` (preset, seeds, device) to a
`Reproduction`: its `Job`s, a function from their `Results` to one `Finding` per `Claim`, and one to
the `Panel`s of the figure. All else is shared:

- **a job** (`runs.py`) is one run: experiment, variant, seed, and the settings that decide its
  numbers. `measure(progress)` returns numbers and curves by name. A finished run is one file, found
  again by the hash of its job, so that an interrupted reproduction goes on and computes nothing
  twice (`running.py`).
- **a finding** (`claims.py`) rests on comparisons. A comparison is a difference between runs with
  the same seed, with a 95 % confidence interval (`statistics.py`), and the side of a limit on which
  the claim puts it. It is "reproduced" where the whole interval lies there, "not reproduced" where
  none of it does, and else a "tie": these runs do not decide. A claim is not reproduced if one of
  its comparisons is not, and reproduced if all of them are.
- **a claim** shows the paper's number only where it was read in a source, else "direction".
- **a figure** (`panels.py` says what, `figures.py` draws) shows means and the range of the seeds.

Rules that every paper keeps: learning rates and the like are chosen by validation data; the report
has the test set at the last epoch; every variant runs with the same seeds, at least three of them;
and where a claim is not reproduced, the note says which reason was looked for.
"""

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Table
from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.reproduction import Reproduction, Scale
from rlquant_experiments.reproduction.runs import Job, Results
from rlquant_experiments.reproduction.statistics import Difference, Summary

__all__ = [
    "Claim",
    "Comparison",
    "Difference",
    "Finding",
    "Job",
    "Panel",
    "Reproduction",
    "Results",
    "Scale",
    "Series",
    "Summary",
    "Table",
]
