"""An agent survives the disk; what is damaged or foreign is refused."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from rlquant.errors import FileFormatError, RlquantError, StorageError
from rlquant.space import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import (
    AGENT_FILE,
    OPTIMIZER_FILE,
    POLICY_FILE,
    AgentRecord,
    from_agent,
    load_weights,
    read_record,
    save_agent,
)
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.ppo.searcher import Learning, MaskedPPO
from strategies import damage

SMALL = MaskedPPO(environments=2, episodes=4, epochs=1, hidden=16, warm_samples=0)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agent")
    train_agent(
        {"toy": ToyProblem()}, [ToyProblem().budget], folder=folder, episodes=8, settings=SMALL
    )
    return folder


def test_a_search_starts_with_the_agents_greedy_answer(agent: Path) -> None:
    first = from_agent(agent).search(ToyProblem(), 5, seed=0)
    second = from_agent(agent).search(ToyProblem(), 5, seed=1)
    assert first.history[0].config == second.history[0].config
    assert first.history[0].feasible


def loaded(folder: Path) -> None:
    """Take the agent of a folder as a search does."""
    from_agent(folder).search(ToyProblem(), 2, seed=0)


@pytest.mark.parametrize("name", [POLICY_FILE, OPTIMIZER_FILE, AGENT_FILE])
def test_files_of_two_agents_are_no_agent(agent: Path, tmp_path: Path, name: str) -> None:
    for folder, seed in ((tmp_path / "mixed", 1), (tmp_path / "other", 2)):
        train_agent(
            {"toy": ToyProblem()},
            [ToyProblem().budget],
            folder=folder,
            episodes=8,
            seed=seed,
            settings=SMALL,
        )
    (tmp_path / "mixed" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(FileFormatError, match=r"is not of the agent that agent\.json beside it"):
        loaded(tmp_path / "mixed")
    loaded(tmp_path / "other")


def test_a_committed_checkpoint_is_the_agent_before_its_files_are_in_their_places(
    agent: Path, tmp_path: Path
) -> None:
    committed = tmp_path / ".committed"
    committed.mkdir()
    for name in (POLICY_FILE, OPTIMIZER_FILE, AGENT_FILE):
        (committed / name).write_bytes((agent / name).read_bytes())
        (tmp_path / name).write_bytes(b"of an older agent")
    loaded(tmp_path)
    trained = train_agent(
        {"toy": ToyProblem()}, [ToyProblem().budget], folder=tmp_path, episodes=12, settings=SMALL
    )
    assert trained.episodes >= 12
    assert not committed.exists()
    assert (tmp_path / AGENT_FILE).read_bytes() != b"of an older agent"


def test_the_folder_holds_no_pickle(agent: Path) -> None:
    names = {p.name for p in agent.iterdir() if not p.name.startswith("events")}
    assert names == {"agent.json", "policy.safetensors", "optimizer.safetensors"}


def test_weights_and_moments_come_back(agent: Path) -> None:
    searcher = from_agent(agent)
    environments = searcher.make_environments(Learning(Session(ToyProblem(), 5), 0))
    model = searcher.make_model(environments, 4, seed=3)
    other = searcher.make_model(environments, 4, seed=4)
    for a, b in zip(model.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(
            model.policy.optimizer.state[a]["exp_avg"], other.policy.optimizer.state[b]["exp_avg"]
        )


def test_an_agent_for_other_decisions_is_refused(agent: Path) -> None:
    other = ToyProblem(space=SearchSpace(bits=(2, 3, 4, 6)))
    with pytest.raises(FileFormatError, match="the agent decides"):
        from_agent(agent).search(other, 5, seed=0)


def test_an_agent_of_a_larger_space_is_refused_before_its_folder_is_taken(
    agent: Path, tmp_path: Path
) -> None:
    other = ToyProblem(space=SearchSpace(bits=(2, 3), points=("clipped", "kmeans")))
    with pytest.raises(FileFormatError, match="the agent decides"):
        search_problem(other, searcher=from_agent(agent), evaluations=5, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _copy(agent: Path, target: Path) -> Path:
    for path in agent.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"version": 1}, "version 1, this rlquant reads 2"),
        ({"features": ["position"]}, "other observation features"),
        ({"surprise": 1}, "surprise is unknown"),
        ({"heads": []}, r"heads is \[\], use an object"),
        ({"hidden": 10**6}, "hidden=1000000, but policy.safetensors has only"),
        ({"hidden": 0}, "hidden is 0, use at least 1"),
        ({"hidden": 16.0}, "hidden is 16.0, use a whole number"),
        ({"episodes": "many"}, "episodes is 'many', use a whole number"),
        ({"episodes": -5}, "episodes is -5, use at least 0"),
        ({"episodes": True}, "episodes is True, use a whole number"),
        ({"trained_on": [3]}, r"trained_on\[0\] is 3, use text"),
    ],
)
def test_a_foreign_record_is_refused(
    agent: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = _copy(agent, tmp_path)
    record = json.loads((folder / AGENT_FILE).read_text())
    (folder / AGENT_FILE).write_text(json.dumps({**record, **change}))
    with pytest.raises(FileFormatError, match=message):
        read_record(folder)


def test_no_agent_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="holds no agent"):
        from_agent(tmp_path)
    (tmp_path / AGENT_FILE).write_text("{")
    with pytest.raises(FileFormatError, match="is not JSON"):
        from_agent(tmp_path)


@pytest.mark.parametrize("name", [POLICY_FILE, OPTIMIZER_FILE])
def test_weights_that_are_cut_short_or_missing_are_refused(
    agent: Path, tmp_path: Path, name: str
) -> None:
    folder = _copy(agent, tmp_path)
    searcher, weights = from_agent(folder), (folder / name).read_bytes()
    (folder / name).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(FileFormatError, match=f"{name}: it is no safetensors file, or a damaged"):
        searcher.search(ToyProblem(), 5, seed=0)
    (folder / name).unlink()
    with pytest.raises(FileFormatError, match="the agent's weights cannot be used"):
        searcher.search(ToyProblem(), 5, seed=0)


MOMENT = "mlp_extractor.policy_net.0.weight|exp_avg"
Tensors = dict[str, torch.Tensor]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (POLICY_FILE, lambda t: {k: v * math.nan for k, v in t.items()}, "NaN or infinite"),
        (
            POLICY_FILE,
            lambda t: {k: v.double() for k, v in t.items()},
            "type torch.float64, not of",
        ),
        (POLICY_FILE, lambda t: dict(list(t.items())[1:]), "is missing"),
        (POLICY_FILE, lambda t: t | {"more": torch.zeros(1)}, "'more' belongs to nothing"),
        (OPTIMIZER_FILE, lambda t: t | {MOMENT: t[MOMENT].T.contiguous()}, "is of shape"),
        (OPTIMIZER_FILE, lambda t: t | {MOMENT: t[MOMENT].long()}, "type torch.int64"),
        (OPTIMIZER_FILE, lambda t: t | {MOMENT: t[MOMENT] / 0}, "NaN or infinite"),
        (OPTIMIZER_FILE, lambda t: t | {MOMENT + "_sq": -1 - t[MOMENT]}, "a number below 0"),
        (POLICY_FILE, lambda t: {k: 3e38 + v for k, v in t.items()}, "beyond 1e.06"),
        (OPTIMIZER_FILE, lambda t: t | {MOMENT: t[MOMENT] + 1}, "too large for its squares"),
        (OPTIMIZER_FILE, lambda t: {k: v for k, v in t.items() if k != MOMENT}, "is missing"),
        (OPTIMIZER_FILE, lambda t: t | {"a|step": torch.zeros(())}, "belongs to nothing"),
        (OPTIMIZER_FILE, lambda t: t | {"a": torch.zeros(())}, "belongs to nothing"),
    ],
)
def test_tensors_that_this_agent_cannot_have_are_refused(
    agent: Path, tmp_path: Path, name: str, change: Callable[[Tensors], Tensors], message: str
) -> None:
    folder = _copy(agent, tmp_path)
    save_file(change(load_file(folder / name)), folder / name)
    with pytest.raises(FileFormatError, match=f"{name}: tensor .*{message}"):
        from_agent(folder).search(ToyProblem(), 5, seed=0)


def test_an_agent_that_has_not_learnt_has_no_moments(tmp_path: Path) -> None:
    environments = SMALL.make_environments(Learning(Session(ToyProblem(), 5), 0))
    model = SMALL.make_model(environments, 4, seed=0)
    save_agent(model, AgentRecord.of(ToyProblem().space, 16, 0, []), tmp_path)
    load_weights(SMALL.make_model(environments, 4, seed=1), tmp_path)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from([AGENT_FILE, POLICY_FILE, OPTIMIZER_FILE]))
def test_any_damage_is_refused_or_leaves_an_agent(
    data: st.DataObject, name: str, agent: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = _copy(agent, tmp_path_factory.mktemp("damaged"))
    (folder / name).write_bytes(data.draw(damage((agent / name).read_bytes())))
    environments = SMALL.make_environments(Learning(Session(ToyProblem(), 5), 0))
    model = SMALL.make_model(environments, 4, seed=0)
    with contextlib.suppress(RlquantError):
        read_record(folder)
        load_weights(model, folder)
    assert all(bool(torch.isfinite(p).all()) for p in model.policy.parameters())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    environments = SMALL.make_environments(Learning(Session(ToyProblem(), 5), 0))
    model = SMALL.make_model(environments, 4, seed=0)
    record = AgentRecord.of(ToyProblem().space, 16, 0, [])
    with pytest.raises(StorageError, match="cannot be written"):
        save_agent(model, record, blocked / "agent")


def test_training_twice_gives_the_same_agent(tmp_path: Path) -> None:
    weights = []
    for name in ("one", "two"):
        train_agent(
            {"toy": ToyProblem()},
            [ToyProblem().budget],
            folder=tmp_path / name,
            episodes=8,
            settings=SMALL,
        )
        weights.append((tmp_path / name / POLICY_FILE).read_bytes())
    assert weights[0] == weights[1]
    assert np.random.get_state()[0] == "MT19937"
