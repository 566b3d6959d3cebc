"""A package of somebody else adds a task, a searcher and a weight format by entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import rlquant
from rlquant import Budget, LayerChoice, QuantizationConfig
from rlquant.errors import ChoiceError, SettingsError
from rlquant.export.rlq.packed import read_config
from rlquant.plugins import place
from rlquant.quantizers.formats import FORMATS, added_format, format_of
from rlquant_agents import make_searcher, register_searcher, search, searchers
from rlquant_agents.cli.command_line import parse
from rlquant_agents.cli.search_settings import SearchSettings, chosen_searcher
from rlquant_agents.search import searcher as registry
from rlquant_agents.searchers.random_feasible import RandomFeasible

CODE = """
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import ClassVar

import torch

from rlquant.quantizers.formats import FORMATS
from rlquant.testing import toy_network
from rlquant.tasks import Task
from rlquant_agents.searchers.random_feasible import RandomFeasible

@dataclass(frozen=True, kw_only=True)
class Careful(RandomFeasible):
    name: ClassVar[str] = "careful"

def load(cache):
    network, train, validation = toy_network()
    return Task("tiny", network, train, validation, validation)

def wrong(cache):
    return None

def normal_points(weight, form):
    count = 2**form.choice.bits
    points = torch.tensor([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    return (points - points[0]) / (points[-1] - points[0])

NORMAL = replace(FORMATS["quantile"], name="normal", layout="quantile", fit=normal_points)
NO_LAYOUT = replace(NORMAL, name="no-layout", layout=None)
OTHER_KIND = replace(NORMAL, name="other-kind", layout="symmetric")
"""
ENTRY_POINTS = """
[rlquant.searchers]
careful = tiny_plugin:Careful
random = tiny_plugin:Careful

[rlquant.tasks]
tiny = tiny_plugin:load
tiny-wrong = tiny_plugin:wrong
tiny-missing = tiny_plugin:nothing

[rlquant.formats]
normal = tiny_plugin:NORMAL
clipped = tiny_plugin:NORMAL
no-layout = tiny_plugin:NO_LAYOUT
other-kind = tiny_plugin:OTHER_KIND
other-name = tiny_plugin:NORMAL
missing = tiny_plugin:NOTHING
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it, on the path."""
    site = tmp_path / "site"
    facts = site / "tiny_plugin-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "tiny_plugin.py").write_text(CODE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("tiny_plugin", None)
    place.cache_clear()
    added_format.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_commands_know_what_it_adds() -> None:
    settings = SearchSettings(task="tiny", searcher="careful", budget=8.0)
    assert chosen_searcher(settings).name == "careful"
    assert settings.load().name == "tiny"
    for own in (settings, SearchSettings(task="tiny"), SearchSettings(baselines=("careful",))):
        assert not own.repeatable  # its code may change at any time
    assert SearchSettings(baselines=()).repeatable


@pytest.mark.usefixtures("plugin")
def test_names_are_listed_and_our_own_come_first() -> None:
    assert "careful" in searchers()
    assert make_searcher("careful").name == "careful"
    assert type(make_searcher("random")) is RandomFeasible
    assert {"tiny", "tiny-wrong"} <= set(rlquant.tasks.names())


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "words"),
    [("tiny-wrong", "returned None, not a Task"), ("tiny-missing", "cannot be imported")],
)
def test_what_does_not_work_is_named(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"task '{name}': tiny_plugin:.* {words}"):
        rlquant.tasks.load(name)


@pytest.mark.usefixtures("plugin")
def test_a_format_is_searched_saved_and_loaded(tmp_path: Path) -> None:
    network, train, validation = rlquant.testing.toy_network()
    space = rlquant.SearchSpace(bits=(2, 3), points=("normal",))
    result = search(
        network, train, validation, budget=Budget.average_bits(16.0), space=space, evaluations=4
    )
    assert {choice.points for choice in result.best} == {"normal"}
    assert QuantizationConfig.from_json(result.best.to_json()) == result.best
    size = rlquant.save(result.network, tmp_path / "model.rlq")
    assert size == result.score.size_bytes
    restored = rlquant.load(tmp_path / "model.rlq", network)
    assert torch.equal(restored(validation[0]), result.network(validation[0]))
    assert {choice.points for choice in read_config(tmp_path / "model.rlq")} == {"quantile"}


@pytest.mark.usefixtures("plugin")
def test_the_command_line_takes_a_format_and_ours_come_first() -> None:
    assert parse(SearchSettings, ["--points", "normal", "clipped"]).points == ("normal", "clipped")
    assert not SearchSettings(points=("normal",)).repeatable
    assert format_of(LayerChoice("any", 3, points="clipped")) is FORMATS["clipped"]
    with pytest.raises(ChoiceError, match=r"points='norma', use one of .*'kmeans'.*'normal'"):
        LayerChoice("any", 3, points="norma")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-layout", "layout=None, name the points whose files it has: one of symmetric"),
        ("other-kind", "kind, has_offset, mirrored must be as those of its layout 'symmetric'"),
        ("other-name", "tiny_plugin:NORMAL is no WeightFormat of that name"),
        ("missing", "tiny_plugin:NOTHING cannot be imported"),
    ],
)
def test_a_format_that_files_cannot_hold_is_named(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"points '{name}': .*{words}"):
        format_of(LayerChoice("any", 3, points=name))


def test_a_class_is_registered_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(RandomFeasible):
        pass

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register_searcher("local", Local)
    assert type(make_searcher("local")) is Local
    with pytest.raises(SettingsError, match="'local' is taken by"):
        register_searcher("local", Local)
    with pytest.raises(SettingsError, match="give a Searcher class"):
        register_searcher("number", int)  # type: ignore[arg-type]
