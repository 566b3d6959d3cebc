"""The page on many workers, tiny: measured once, simulated, searched, written, and read again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
from rlquant_experiments.commands import scaling
from rlquant_experiments.comparison.stratum import Stratum
from rlquant_experiments.scaling.measured import Proposal
from rlquant_experiments.scaling.quality import evaluations_to
from rlquant_experiments.scaling.settings import ScalingSettings
from rlquant_experiments.scaling.simulated import WAYS, Simulated, proposing
from rlquant_experiments.scaling.speedup import speedups


class Reached(Stratum):
    """Runs whose regrets are given, by label."""

    def __init__(self, regrets: dict[str, list[list[float]]]) -> None:
        object.__setattr__(self, "given", regrets)

    def regrets(self, label: str, evaluations: int) -> np.ndarray:
        return np.array(self.given[label])  # type: ignore[attr-defined]


def test_a_run_that_never_gets_there_counts_with_all_its_evaluations() -> None:
    one = Reached({"batch-1": [[1.0, 0.05, 0.0, 0.0], [1.0, 0.9, 0.8, 0.7]]})
    two = Reached({"batch-1": [[0.0, 0.0, 0.0, 0.0]]})
    assert evaluations_to([one, two], "batch-1", 4, target=0.05).tolist() == [2, 4, 1]


def test_a_proposal_is_interpolated_and_beyond_in_proportion() -> None:
    seconds = proposing((Proposal(4, 2.0), Proposal(1, 1.0), Proposal(8, 3.0)))
    assert [seconds(batch) for batch in (1, 2, 4, 6, 8, 32)] == pytest.approx(
        [1.0, 1.0 + 1 / 3, 2.0, 2.5, 3.0, 12.0]
    )


def test_a_speedup_is_of_evaluations_over_those_that_are_needed() -> None:
    settings = ScalingSettings(batches=(1, 4), workers=(1, 2, 4), evaluations=4)
    network = Simulated("n", 1.0, {way: {1: 1.0, 2: 0.9, 4: 0.8} for way in WAYS})
    needed = Reached({"batch-1": [[1, 0, 0, 0]], "batch-4": [[1, 1, 1, 0]]})
    found = speedups(settings, network, [needed])
    # batch 1 needs 2 evaluations, batch 4 needs 4
    assert [(row.workers, row.by_multiple) for row in found] == [
        (1, (1.0, None, 0.5)),
        (2, (None, pytest.approx(2 * 0.9 / 2), None)),
        (4, (pytest.approx(4 * 0.8 / 2), None, None)),
    ]


@pytest.mark.slow
def test_the_command_measures_once_and_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_times = tmp_path / "s.sqlite"
    store = EvaluationStore(with_times)
    for bits, seconds in ((3, 2.0), (4, 4.0)):
        config = QuantizationConfig((LayerChoice("conv", bits),))
        store.put("p", config, Measurement(0.1, 0.9, 5), seconds)
    store.close()
    arguments = ["--stores", "encoder", str(with_times), "--tasks", "digits/cnn", "--timed", "1"]
    arguments += ["--sleep", "0.01", "--sleeping", "1", "--workers", "1", "8", "--rounds", "4"]
    arguments += ["--tables", "digits-cnn", "--batches", "1", "4", "--seeds", "2"]
    arguments += ["--searcher", "local-swap", "--evaluations", "12"]
    arguments += ["--out", str(tmp_path / "runs"), "--report", str(tmp_path / "page.md")]
    assert scaling.main(arguments) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "encoder, 3.0 s an evaluation:" in page
    assert "| batch 4 |" in page
    assert "Evaluations of digits/cnn, each of which takes" in page
    assert (tmp_path / "page.png").stat().st_size > 10_000
    kept = json.loads((tmp_path / "page.json").read_text())
    assert sorted(kept["times"][0]["seconds"]) == [2.0, 4.0]
    kept["load"] = 77.0
    (tmp_path / "runs" / "measured.json").write_text(json.dumps(kept))
    assert scaling.main(arguments) == 0
    assert "while 77.0 processes" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_what_cannot_be_measured_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["--stores", "encoder", "nowhere.sqlite"]) == 1
    assert "--stores: nowhere.sqlite is no file" in capsys.readouterr().err
    assert scaling.main(["--tables"]) == 1
    assert "--tables: give at least one" in capsys.readouterr().err
