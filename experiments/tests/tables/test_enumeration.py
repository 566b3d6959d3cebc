"""Enumerating a live problem: every configuration, in order, also after an interruption."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from problems import problem
from rlquant import EvaluationSettings
from rlquant.config import QuantizationConfig
from rlquant.errors import FileFormatError, SettingsError
from rlquant.score import Measurement
from rlquant.space import SearchSpace
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.table import Table
from rlquant.testing import ToyProblem
from rlquant_experiments.tables.enumeration import RECORD, Enumeration

SPACE = SearchSpace(bits=(2, 3, 8))


def grouped(**other: object) -> GroupedProblem:
    made = problem("conv", **{"space": SPACE, **other})
    names = [facts.name for facts in made.layers]
    return GroupedProblem(made, {"early": names[:2], "middle": names[2:-1], "last": names[-1:]})


def test_every_configuration_is_measured_in_order(tmp_path: Path) -> None:
    live = grouped()
    told: list[int] = []
    records = Enumeration(live, tmp_path / "some" / "t.partial").run(told.append)
    assert told == list(range(28))
    plain = grouped(evaluation=EvaluationSettings(prefix_bytes=None))
    for number, indices in enumerate(itertools.product(range(3), repeat=3)):
        score = plain.evaluate(plain.feasible.config(indices))
        assert records["loss"][number] == np.float32(score.loss)
        assert records["correct"][number] == round(score.accuracy * score.samples)
    table = Table.of(
        live, records["loss"], records["correct"], name="t", task="conv", command="none"
    )
    assert table.count == 27


def test_what_is_measured_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.partial"
    sizes: list[int] = []
    Enumeration(grouped(), path).run(lambda done: sizes.append(path.stat().st_size))
    assert [size - sizes[0] for size in sizes] == [RECORD.itemsize * done for done in range(28)]


@pytest.mark.parametrize("torn", [0, 9, 60, 10**6])
def test_it_goes_on_where_it_was_cut_off(tmp_path: Path, torn: int) -> None:
    live = grouped()
    whole = Enumeration(live, tmp_path / "whole").run()
    content = (tmp_path / "whole").read_bytes()
    head = content.index(b"\n") + 1
    (tmp_path / "part").write_bytes(content[: min(len(content), head + torn)])
    told: list[int] = []
    again = Enumeration(live, tmp_path / "part")
    assert np.array_equal(again.run(told.append), whole)
    assert told[0] == min(27, torn // RECORD.itemsize)
    assert (tmp_path / "part").read_bytes() == content


class Known:
    """A live problem whose measurements are known, so that it is scanned in no time."""

    def __init__(self, live: GroupedProblem) -> None:
        self.feasible, self.fingerprint = live.feasible, live.fingerprint
        self.float_score = live.float_score
        configs = [live.feasible.config(i) for i in itertools.product(range(3), repeat=3)]
        self.measured = dict(zip(configs, live.scan(configs), strict=True))

    def scan(self, configs: Iterable[QuantizationConfig]) -> Iterator[Measurement]:
        return (self.measured[config] for config in configs)


def test_cut_off_at_any_byte_it_gives_the_same_file(tmp_path: Path) -> None:
    known: Any = Known(grouped())
    whole = Enumeration(known, tmp_path / "whole").run()
    content = (tmp_path / "whole").read_bytes()
    part = Enumeration(known, tmp_path / "part")
    for length in range(len(content) + 1):
        part.partial.write_bytes(content[:length])
        assert np.array_equal(part.run(), whole)
        assert part.partial.read_bytes() == content


def test_a_configuration_without_a_finite_loss_has_a_record(tmp_path: Path) -> None:
    known: Any = Known(grouped())
    first = next(iter(known.measured))
    known.measured[first] = Measurement(math.inf, math.nan, 50)
    records = Enumeration(known, tmp_path / "t").run()
    assert records[0].tolist() == (math.inf, 0)
    assert np.isfinite(records["loss"][1:]).all()


def test_what_no_table_holds_is_refused(tmp_path: Path) -> None:
    many = Enumeration(grouped(space=SearchSpace(bits=tuple(range(2, 9)))), tmp_path / "t")
    assert many.count == 7**3
    toy: Any = ToyProblem(8, space=SearchSpace(bits=tuple(range(2, 10))))
    with pytest.raises(SettingsError, match="8 options in 8 groups are more than 10,000,000"):
        _ = Enumeration(toy, tmp_path / "t").count


def test_what_was_begun_for_another_problem_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "t.partial"
    Enumeration(grouped(), place).run()
    before = place.read_bytes()
    regrouped = GroupedProblem(grouped().problem, ["*"])
    for other in (grouped(seed=1), grouped(space=SearchSpace(bits=(2, 3))), regrouped):
        with pytest.raises(FileFormatError, match=re.escape(f"{place}: was begun for another ")):
            Enumeration(other, place).run()
    assert place.read_bytes() == before


def test_more_records_than_configurations_are_refused(tmp_path: Path) -> None:
    work = Enumeration(grouped(), tmp_path / "t.partial")
    work.run()
    work.partial.write_bytes(work.partial.read_bytes() + bytes(RECORD.itemsize))
    with pytest.raises(FileFormatError, match="more than all 27 configurations"):
        work.run()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-8] + b"\xff" * 4 + content[-4:],
        lambda content: content[:-4] + b"\xff" * 4,
    ],
    ids=["no number", "more right answers than samples"],
)
def test_records_that_cannot_be_are_not_gone_on_from(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    place = tmp_path / "t.partial"
    Enumeration(grouped(), place).run()
    place.write_bytes(damage(place.read_bytes()))
    with pytest.raises(
        FileFormatError, match=r"t.partial: damaged, it holds values that no configuration"
    ):
        Enumeration(grouped(), place).run()
