"""A package of somebody else adds a task and a searcher by entry points, and commands know them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rlquant
from rlquant.errors import SettingsError
from rlquant_agents import make_searcher, register_searcher, searchers
from rlquant_agents.cli.search_settings import SearchSettings, chosen_searcher
from rlquant_agents.search import searcher as registry
from rlquant_agents.searchers.random_feasible import RandomFeasible

CODE = """
from dataclasses import dataclass
from typing import ClassVar

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
"""
ENTRY_POINTS = """
[rlquant.searchers]
careful = tiny_plugin:Careful
random = tiny_plugin:Careful

[rlquant.tasks]
tiny = tiny_plugin:load
tiny-wrong = tiny_plugin:wrong
tiny-missing = tiny_plugin:nothing
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
