"""The target gguf: options are types of ggml, and the budget is the file's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlquant
from gguf_models import read_network, save_model, save_tokenizer, tiny_network
from rlquant import Budget, Distillation, GgufTarget, QuantizationProblem, SearchSpace
from rlquant.errors import (
    BudgetError,
    ChoiceError,
    DataError,
    NetworkError,
    SettingsError,
    UnknownNameError,
)
from rlquant.shared_embedding import share_embedding
from rlquant_agents import search
from strategies import seeded

pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

DATA = {"input_ids": torch.randint(300, (12, 16), generator=seeded(0))}
VALIDATION = {"input_ids": torch.randint(300, (6, 16), generator=seeded(1))}
SPACE = SearchSpace(
    bits=(2, 4, 5, 8),
    points=("clipped", "affine_step"),
    group_size=("channel", 32, 64),
    method=("post_training", "float"),
)
EVERY = (*GgufTarget("x").types, "Q2_0")


def problem_of(source: Any, network: Any = None, **settings: Any) -> QuantizationProblem:
    settings = {"budget": Budget.size_bytes(10**7), "space": SPACE, **settings}
    settings.setdefault("target", GgufTarget(source))
    return QuantizationProblem(
        tiny_network() if network is None else network,
        DATA,
        VALIDATION,
        objective=Distillation("kl"),
        **settings,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("source"))


def test_options_are_what_some_type_holds(source: Path) -> None:
    problem = problem_of(source, target=GgufTarget(source, EVERY))
    feasible = problem.feasible
    names = {
        (o.bits, o.points, o.group_size, o.method)
        for o, there in zip(feasible.options, feasible.own[0], strict=True)
        if there
    }
    kinds = [(b, p, 32) for b in (4, 5) for p in ("clipped", "affine_step")]
    kinds += [(8, "clipped", 32), (2, "clipped", 64)]
    assert names - {(32, "symmetric", "channel", "float")} == {(*k, "post_training") for k in kinds}
    assert feasible.own.all(axis=0).sum() == len(names)


def test_where_no_space_is_given_all_types_that_fit_are_options(source: Path) -> None:
    feasible = problem_of(source, space=None).feasible
    narrow = [feasible.options[i] for i in np.flatnonzero(feasible.own[0])]
    assert {(o.bits, o.points) for o in narrow} == {
        *((b, p) for b in (4, 5) for p in ("signed_scale", "affine_step")),
        *((8, "signed_scale"), (4, "iq4_nl"), (4, "mxfp4")),
    }
    wide = tiny_network()
    wide.model.layers[0].mlp.down_proj = torch.nn.Linear(256, 64, bias=False)
    for name in ("gate_proj", "up_proj"):
        setattr(wide.model.layers[0].mlp, name, torch.nn.Linear(64, 256, bias=False))
    feasible = problem_of(source, wide.eval(), space=None).feasible
    row = feasible.names.index("model.layers.0.mlp.down_proj")
    fitting = [feasible.options[i] for i in np.flatnonzero(feasible.own[row])]
    sizes = {(o.bits, o.group_size) for o in fitting}
    assert sizes == {(2, 16), (2, 256), (3, 16), (4, 32), (5, 32), (6, 16), (8, 32)}


def test_the_size_of_every_configuration_is_that_of_its_file(source: Path, tmp_path: Path) -> None:
    problem = problem_of(source, target=GgufTarget(source, EVERY))
    draws = np.random.default_rng(0)
    seen = set()
    for number in range(6):
        config = problem.feasible.config(problem.feasible.sample(draws))
        network = problem.build(config)
        export = rlquant.export_gguf(network, tmp_path / f"{number}.gguf", source=source)
        assert export.bytes == problem.evaluate(config).size_bytes
        seen.add(export.bytes)
    assert len(seen) > 3


def test_a_search_keeps_a_budget_of_the_files_bytes(source: Path, tmp_path: Path) -> None:
    network = tiny_network()
    half = problem_of(source).feasible
    limit = (half.smallest + half.largest) // 2
    result = search(
        network,
        DATA,
        VALIDATION,
        budget=Budget.size_bytes(limit),
        objective=Distillation("kl"),
        searcher="knapsack",
        evaluations=4,
        target=GgufTarget(source),
    )
    assert result.network is not None
    assert {c.group_size for c in result.best} == {32}
    export = rlquant.export_gguf(result.network, tmp_path / "model.gguf", source=source)
    assert export.bytes == result.score.size_bytes <= limit
    read, tokens = read_network(export.path), VALIDATION["input_ids"]
    with torch.no_grad():
        assert torch.allclose(read(tokens).logits, result.network(tokens).logits, atol=1e-4)


def test_average_bits_are_those_of_the_types(source: Path) -> None:
    space = SearchSpace(bits=(4,), group_size=(32,))
    problem = problem_of(source, space=space, budget=Budget.average_bits(4.5))
    assert (
        problem.evaluate(problem.feasible.config([0] * len(problem.feasible))).average_bits == 4.5
    )
    assert problem.float_score.average_bits == 32
    with pytest.raises(BudgetError, match=r"smallest reachable is 4\.5"):
        problem_of(source, space=space, budget=Budget.average_bits(4.4))


def test_a_tied_embedding_is_quantized_once_for_both(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source", tied=True)
    network = transformers.LlamaForCausalLM.from_pretrained(source).eval()
    network.config.use_cache = False
    tokens = VALIDATION["input_ids"]
    plain = network(tokens).logits
    assert share_embedding(network)
    assert torch.equal(network(tokens).logits, plain)
    assert not share_embedding(tiny_network())
    problem = problem_of(source, network, space=SearchSpace(bits=(4, 8), group_size=(32,)))
    assert problem.layers[0].name == "model.embed_tokens"
    config = problem.feasible.config([0] * len(problem.feasible))
    built = problem.build(config)
    export = rlquant.export_gguf(built, tmp_path / "m.gguf", source=source)
    assert export.bytes == problem.evaluate(config).size_bytes
    assert export.types["token_embd.weight"] == "Q4_0"
    assert "output.weight" not in export.types
    with torch.no_grad():
        assert torch.allclose(
            read_network(export.path)(tokens).logits, built(tokens).logits, atol=1e-4
        )


def test_a_shared_head_is_given_a_weight_of_its_own_before_the_stream_is_rotated() -> None:
    network, tokens = tiny_network(tied=True), VALIDATION["input_ids"]
    plain = network(tokens).logits
    share_embedding(network)
    rotated = rlquant.prepare(network)
    assert isinstance(rotated.lm_head, torch.nn.Linear)
    assert torch.allclose(rotated(tokens).logits, plain, atol=1e-4)


def test_what_cannot_be_expressed_is_refused_before_anything_is_measured(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlquant.problem.construction.measure_float", None)
    with pytest.raises(ChoiceError, match=r"bits=\(7,\) has nothing that target 'gguf'"):
        problem_of(source, space=SearchSpace(bits=(7,), group_size=(32,)))
    with pytest.raises(ChoiceError, match=r"no combination of bits=\(3,\), points=\('clipped'"):
        problem_of(source, space=SearchSpace(bits=(3,), group_size=(32,)))
    only_k = SearchSpace(bits=(3,), points=("k_symmetric",), group_size=(16,))
    with pytest.raises(ChoiceError, match=r"rows of 64 weights are no whole blocks of Q3_K"):
        problem_of(source, space=only_k)
    with pytest.raises(ChoiceError, match=r"group_size=.*channel"):
        problem_of(source, space=SearchSpace())
    with pytest.raises(UnknownNameError, match="did you mean 'Q4_0'"):
        GgufTarget(source, ("Q40",))
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        problem_of(tmp_path)
    with pytest.raises(NetworkError, match="this one is a Sequential"):
        problem_of(source, torch.nn.Sequential(torch.nn.Embedding(300, 32)))


def test_rows_that_fit_no_block_are_named(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=48, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    network = transformers.LlamaForCausalLM(config).eval()
    save_tokenizer(tmp_path)
    with pytest.raises(ChoiceError, match=r"'model.embed_tokens': its rows of 48 weights are no"):
        problem_of(tmp_path, network)
    wide = [n for n, p in network.named_parameters() if p.dim() == 2 and p.shape[1] == 48]
    left = SearchSpace(
        bits=(4,), group_size=(32,), exclude=tuple(n.removesuffix(".weight") for n in wide)
    )
    problem = problem_of(tmp_path, network, space=left)
    assert [layer.name for layer in problem.layers] == ["model.layers.0.mlp.down_proj"]


def test_a_budget_leaves_room_for_the_cache_and_buffers(source: Path) -> None:
    network, target = tiny_network(), GgufTarget(source)
    cache = 100 * 2 * 2 * 2 * 16 * 2  # tokens, both, layers, heads, their width, bytes
    buffers = 512 * (2 * 300 + 6 * 64 + 3 * 128) * 4
    budget = target.budget_within("40MB", network, context=100)
    assert budget == Budget.size_bytes(40_000_000 - 2**25 - cache - buffers)
    with pytest.raises(BudgetError, match=r"take 36,\d\d\d,\d\d\d bytes, which leaves none"):
        target.budget_within("36 MB", network, context=100)
    with pytest.raises(SettingsError, match="context"):
        target.budget_within("4MB", network, context=0)
    with pytest.raises(NetworkError):
        target.budget_within("4MB", torch.nn.Linear(2, 2))
