"""Every public call on toy data, by name: what tests cross with whatever may go wrong around one.

`PUBLIC_CALLS[name](folder)` makes the call, writes below `folder` alone, and returns what came of
it; `plain` makes values of that which compare bit for bit. Networks and data are made once, before
the first call (`prepare`), as a user has them before he calls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import rlquant
import rlquant_agents
from evaluation_values import in_values
from gguf_models import save_tokenizer, tiny_network
from rlquant import quantizers
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.export.rlq.packed import read_config
from rlquant.profiling.profile import profile_latency
from rlquant.tabular.table_file import read_table, write_table
from rlquant.testing import random_table
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.network_policy import NetworkPolicySettings
from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import from_agent
from rlquant_agents.search.searcher import searchers
from rlquant_agents.searchers.ppo.searcher import MaskedPPO
from rlquant_envs import (
    LayerwiseQuantization,
    OneDecisionAtATime,
    PointAssignment,
    TabularQuantization,
    TabularVectorQuantization,
)
from small_networks import Pair, samples_of, trained
from small_transformers import transformer

Call = Callable[[Path], Any]

BUDGET = Budget.average_bits(7.0)
QUICK = TrainSettings(steps=4, batch_size=16)
CONFIG = QuantizationConfig(
    (
        LayerChoice("first", 4, "stochastic", points="clipped", activation_bits=8),
        LayerChoice("second", 3, points="kmeans"),
        LayerChoice("last", 2, points="quantile"),
    )
)
HESSIAN_BASED = QuantizationConfig(
    (
        LayerChoice("first", 2, "gptq", points="clipped"),
        LayerChoice("second", 2, "learned", points="clipped"),
        LayerChoice("last", 8),
    )
)
TRAINED = QuantizationConfig(
    (
        LayerChoice("first", 2, method="ternary"),
        LayerChoice("second", 3, method="distilled", points="learned"),
        LayerChoice("last", 4, method="distilled", activation_bits=8),
    )
)


# --- what the calls are given


@dataclass(frozen=True)
class Toys:
    """A network of three Linear layers and one of convolutions with BatchNorm, and their data."""

    network: nn.Module
    train: Pair
    validation: Pair
    images: nn.Module
    train_images: Pair
    validation_images: Pair
    quantized: nn.Module
    packed: bytes
    table: rlquant.Table
    problem: rlquant.QuantizationProblem
    hessian_based: rlquant.QuantizationProblem
    transformer: nn.Module


@cache
def prepare() -> Toys:
    """Make everything that the calls are given: outside of whatever is crossed with them."""
    network, images = trained("mlp"), trained("conv")
    decoder()
    packed_decoder()
    train, validation = samples_of("mlp", 64, seed=1), samples_of("mlp", 50, seed=2)
    quantized = rlquant.quantize(network, CONFIG, train, calibration_samples=64)
    return Toys(
        network,
        train,
        validation,
        images,
        samples_of("conv", 64, seed=1),
        samples_of("conv", 40, seed=2),
        quantized,
        rlquant.pack(quantized),
        random_table(3, 4),
        _problem(network, train, validation),
        _problem(network, train, validation, rounding=("gptq", "learned")),
        transformer(),
    )


def _problem(
    network: nn.Module, train: Pair, validation: Pair, *, rounding: Any = ("nearest",), **other: Any
) -> rlquant.QuantizationProblem:
    space = rlquant.SearchSpace(bits=(2, 4, 8), rounding=rounding, points=("clipped",))
    settings: dict[str, Any] = {
        "budget": BUDGET,
        "space": space,
        "calibration_samples": 64,
        "batch_size": 20,
    }
    return rlquant.QuantizationProblem(
        network, train, validation, **in_values({**settings, **other})
    )


def fresh_problem(**other: Any) -> rlquant.QuantizationProblem:
    """Make a problem that knows no measurement yet."""
    toys = prepare()
    return _problem(toys.network, toys.train, toys.validation, **other)


def images_problem(**other: Any) -> rlquant.QuantizationProblem:
    """Make a problem of the network of convolutions."""
    toys = prepare()
    return _problem(toys.images, toys.train_images, toys.validation_images, **other)


# --- what came of them


def plain(value: Any) -> Any:
    """Return what stands for a result, bit for bit: tensors and networks by their bytes."""
    match value:
        case Tensor():
            content = value.detach().contiguous().cpu()
            return str(value.dtype), tuple(value.shape), content.view(-1).numpy().tobytes()
        case np.ndarray():
            return str(value.dtype), value.shape, value.tobytes()
        case nn.Module():
            return {name: plain(tensor) for name, tensor in value.state_dict().items()}
        case float() | np.floating():
            return float(value).hex()
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case QuantizationConfig():
            return value.key
        case str() | bytes() | int() | None:
            return value
        case Path():
            return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f.name for f in dataclasses.fields(value) if "seconds" not in f.name)
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return repr(value)


def _outputs(network: nn.Module, pair: Pair) -> tuple[nn.Module, Any]:
    """Return a network with what it answers: in an evaluation's state, as `measure` says it."""
    return network, rlquant.measure(network, pair)


# --- networks


def _quantize(folder: Path) -> Any:
    toys = prepare()
    made = rlquant.quantize(toys.network, CONFIG, toys.train, calibration_samples=64)
    return _outputs(made, toys.validation)


def _quantize_hessian_based(folder: Path) -> Any:
    toys = prepare()
    return rlquant.quantize(toys.network, HESSIAN_BASED, toys.train, calibration_samples=64)


def _quantize_images(folder: Path) -> Any:
    toys = prepare()
    config = QuantizationConfig((LayerChoice("conv", 3), LayerChoice("grouped", 2)))
    made = rlquant.quantize(toys.images, config, toys.train_images, calibration_samples=64)
    return _outputs(made, toys.validation_images)


def _quantize_without_data(folder: Path) -> Any:
    config = QuantizationConfig((LayerChoice("first", 3), LayerChoice("last", 1)))
    return rlquant.quantize(prepare().network, config)


def _train(folder: Path) -> Any:
    toys = prepare()
    return rlquant.train(
        toys.network, TRAINED, toys.train, toys.validation, settings=QUICK, warm_start=True
    )


def _train_images(folder: Path) -> Any:
    toys = prepare()
    config = QuantizationConfig((LayerChoice("conv", 2, method="ternary"),))
    settings = TrainSettings(steps=3, batch_size=16, augmentation=CropAndFlip(1))
    return rlquant.train(toys.images, config, toys.train_images, settings=settings)


def _train_fixed_point(folder: Path) -> Any:
    toys = prepare()
    settings = TrainSettings(steps=3, batch_size=16, arithmetic=FixedPoint(4, 10), optimizer="sgd")
    return rlquant.train(
        toys.network, QuantizationConfig(()), toys.train, toys.validation, settings=settings
    )


def _refine(folder: Path) -> Any:
    toys = prepare()
    settings = NetworkPolicySettings(steps=3, samples=1, rate=0.1, start=8.0, prior=4.0)
    return rlquant.refine(toys.hessian_based, HESSIAN_BASED, toys.train, settings=settings)


def _find_layers(folder: Path) -> Any:
    toys = prepare()
    return rlquant.find_layers(toys.images, toys.train_images[0][:2])


def _layer_problem(folder: Path) -> Any:
    toys = prepare()
    made = rlquant.layer_problem(toys.network, toys.train, calibration_samples=64)
    return [getattr(made, field.name) for field in dataclasses.fields(made)]


def _prepare(folder: Path) -> Any:
    network = prepare().transformer
    return rlquant.prepare(network, seed=1), rlquant.prepare(network, rotate="hadamard")


def _measure(folder: Path) -> Any:
    return [rlquant.measure(n, prepare().validation) for n in (prepare().network, _read(folder))]


def _read(folder: Path) -> nn.Module:
    return rlquant.unpack(prepare().packed, prepare().network)


def _quantizers(folder: Path) -> Any:
    """Call everything that rlquant.quantizers offers."""
    x = prepare().train[0]
    draw = torch.Generator("cpu").manual_seed(1)
    in_range = quantizers.activation_range(x.repeat(40, 20))
    calls: dict[str, Callable[[], Any]] = {
        "ActivationQuantizer": lambda: quantizers.ActivationQuantizer(4, 0.5, 3)(x),
        "QuantizedTensor": lambda: quantizers.quantize_integer(x, 3, clip=True).dequantize(),
        "activation_grid": lambda: quantizers.activation_grid(-1e-42, 1e-40, 3),
        "activation_range": lambda: [in_range.at(3), in_range],
        "kmeans_points": lambda: quantizers.kmeans_points(x, 4),
        "quantile_points": lambda: quantizers.quantile_points(x, 4),
        "quantize_fixed_point": lambda: quantizers.quantize_fixed_point(x, 2, 3),
        "quantize_integer": lambda: quantizers.quantize_integer(x, 3),
        "quantize_kmeans": lambda: quantizers.quantize_kmeans(x, 3),
        "quantize_power_of_two": lambda: quantizers.quantize_power_of_two(x, 3),
        "quantize_ternary": lambda: quantizers.quantize_ternary(x, 1.5, 0.5),
        "quantize_to_points": lambda: quantizers.quantize_to_points(
            x, x.new_tensor([0.0, 0.5, 1.0]), rounding="stochastic", generator=draw
        ),
        "quantize_to_scale": lambda: quantizers.quantize_to_scale(x, x.abs().amax(dim=1), 3),
        "quantize_affine": lambda: quantizers.quantize_affine(x, 3).dequantize(),
        "quantize_super_blocks": lambda: quantizers.quantize_super_blocks(
            x, 4, mirrored=False
        ).dequantize(),
        "quantize_signed_scale": lambda: quantizers.quantize_signed_scale(x, 3).dequantize(),
        "quantize_prescribed": lambda: quantizers.quantize_prescribed(x, "iq4_nl").dequantize(),
        "quantize_affine_step": lambda: quantizers.quantize_affine_step(x, 3).dequantize(),
        "quantize_zero_point": lambda: quantizers.quantize_zero_point(x, 3).dequantize(),
        "round_nearest": lambda: quantizers.round_nearest(x),
        "round_stochastic": lambda: quantizers.round_stochastic(x, generator=draw),
        "rounder": lambda: quantizers.rounder("nearest", None)(x),
        "sparsity_threshold": lambda: quantizers.sparsity_threshold(x, 0.3),
        "storage_dtype": lambda: str(quantizers.storage_dtype(1e-3, 1.0, 4)),
        "ternary_scales": lambda: quantizers.ternary_scales(x),
        "ternary_signs": lambda: quantizers.ternary_signs(x, 0.1),
    }
    assert calls.keys() == set(quantizers.__all__)
    return {name: call() for name, call in calls.items()}


# --- files


def _pack(folder: Path) -> Any:
    quantized = prepare().quantized
    return rlquant.pack(quantized), rlquant.pack(quantized, entropy_coding=True)


def _unpack(folder: Path) -> Any:
    return _outputs(_read(folder), prepare().validation)


def _save_and_load(folder: Path) -> Any:
    path = folder / "network.rlq"
    size = rlquant.save(prepare().quantized, path)
    return size, read_config(path), rlquant.load(path, prepare().network)


def _dequantize(folder: Path) -> Any:
    return rlquant.dequantize(prepare().quantized)


def _export_onnx(folder: Path) -> Any:
    path = folder / "network.onnx"
    made = rlquant.export_onnx(prepare().quantized, prepare().validation[0][:8], path)
    return made, path.read_bytes()


def _export_gguf(folder: Path) -> Any:
    made = decoder()
    source = folder / "source"
    save_tokenizer(source)
    path = folder / "network.gguf"
    written = rlquant.export_gguf(made, path, source=source)
    return written.bytes, written.types, path.read_bytes()


def _export_compressed_tensors(folder: Path) -> Any:
    written = rlquant.export_compressed_tensors(packed_decoder(), folder / "packed")
    files = {path.name: path.read_bytes() for path in written.folder.iterdir()}
    return written.bytes, written.schemes, files


@cache
def packed_decoder() -> nn.Module:
    """Make a decoder with one layer that compressed-tensors holds."""
    choices = (LayerChoice("lm_head", 4, points="zero_point", group_size=32),)
    return rlquant.quantize(tiny_network(), QuantizationConfig(choices))


@cache
def decoder() -> nn.Module:
    """Make a quantized language model, outside of whatever is crossed with it."""
    choices = (LayerChoice("lm_head", 4, points="affine_step", group_size=32),)
    return rlquant.quantize(tiny_network(), QuantizationConfig(choices))


def _export_integers(folder: Path) -> Any:
    toys = prepare()
    eight = tuple(LayerChoice(n, 8, activation_bits=8) for n in ("first", "second", "last"))
    made = rlquant.quantize(
        toys.network, QuantizationConfig(eight), toys.train, calibration_samples=64
    )
    path = folder / "network.onnx"
    inputs = toys.validation[0][:8]
    return rlquant.export_onnx(made, inputs, path, target="onnxruntime-int8"), path.read_bytes()


def _profile(folder: Path) -> Any:
    """Times differ from call to call; what was timed does not."""
    toys = prepare()
    made = profile_latency(
        toys.network, toys.train, toys.validation[0][:4], rounds=1, samples=64, batch=2
    )
    return made.layers, made.groups, made.native, made.batch, made.threads


def _table_file(folder: Path) -> Any:
    path = folder / "table.rlt"
    return write_table(prepare().table, path), path.read_bytes(), read_table(path).measured.losses


# --- problems


def _make_problem(folder: Path) -> Any:
    problem = fresh_problem()
    return problem.fingerprint, problem.float_score, problem.layers


def _evaluate(folder: Path) -> Any:
    problem = fresh_problem()
    return problem.evaluate(problem.feasible.config((1, 0, 1)))


def _evaluate_whole(folder: Path) -> Any:
    problem = fresh_problem(prefix_bytes=None)
    return problem.evaluate(problem.feasible.config((1, 0, 1)))


def _evaluate_images(folder: Path) -> Any:
    problem = images_problem(
        space=rlquant.SearchSpace(bits=(2, 3, 4), activation_bits=(None, 4)),
        store=folder / "evaluations.sqlite",
    )
    config = problem.feasible.config(tuple(i % 2 for i in range(len(problem.layers))))
    return problem.evaluate(config), _outputs(problem.build(config), prepare().validation_images)


def _evaluate_many(folder: Path) -> Any:
    problem = fresh_problem()
    rows = [(i, j, 2 - i) for i in range(3) for j in range(3)]
    return problem.evaluate_many(problem.feasible.config(row) for row in rows)


def _scan(folder: Path) -> Any:
    problem = fresh_problem()
    return list(problem.scan(problem.feasible.config((i, 1, 0)) for i in range(3)))


def _build(folder: Path) -> Any:
    problem = prepare().hessian_based
    return _outputs(problem.build(problem.feasible.config((1, 0, 1))), prepare().validation)


def _evaluate_tuned(folder: Path) -> Any:
    space = rlquant.SearchSpace(bits=(2, 4), method=("ternary", "distilled"), points=("symmetric",))
    problem = fresh_problem(fidelity="tuned", space=space, training=QUICK)
    config = problem.feasible.config((0, 1, 0))
    return problem.evaluate(config), problem.build(config)


def _race(folder: Path) -> Any:
    problem = fresh_problem(racing=rlquant.Racing())
    good, bad = (problem.feasible.config(row) for row in ((2, 2, 2), (0, 0, 0)))
    return problem.evaluate(good), problem.evaluate(bad, incumbent=good)


def _probe(folder: Path) -> Any:
    return rlquant.probe(fresh_problem(), samples=12)


def _grouped(folder: Path) -> Any:
    groups = {"body": ("first", "second"), "end": ("last",)}
    problem = rlquant.GroupedProblem(fresh_problem(), groups)
    return problem.evaluate(problem.feasible.config((1, 0)))


def _tabular(folder: Path) -> Any:
    problem = rlquant.TabularProblem(prepare().table, BUDGET)
    return problem.evaluate(problem.feasible.config((1, 0, 1))), rlquant.probe(problem)


def _shipped_table(folder: Path) -> Any:
    return rlquant.table_names(), rlquant.load_table(rlquant.table_names()[0]).float_score


def _random_table(folder: Path) -> Any:
    return random_table(3, 4).measured.losses


# --- searches


def search_with(searcher: str, **settings: Any) -> Call:
    """Return the call of a search on the live network, without a folder."""

    def call(folder: Path) -> Any:
        toys = prepare()
        result = rlquant_agents.search(
            toys.network,
            toys.train,
            toys.validation,
            budget=BUDGET,
            space=rlquant.SearchSpace(bits=(2, 4, 8), points=("clipped",)),
            searcher=rlquant_agents.make_searcher(searcher, **settings),
            evaluations=8,
            evaluation=rlquant.EvaluationSettings(calibration_samples=64),
        )
        return result.best, result.score, [e.score for e in result.history], result.network

    return call


def _search_to_folder(folder: Path) -> Any:
    result = rlquant_agents.search_problem(
        fresh_problem(), searcher="masked-ppo", evaluations=6, out=folder / "run"
    )
    rlquant_agents.write_report(folder / "run")
    names = {path.name.partition(".")[0] for path in (folder / "run").iterdir()}
    return result.best, result.score, sorted(names)


def _search_table(folder: Path) -> Any:
    problem = rlquant.TabularProblem(prepare().table, BUDGET)
    result = rlquant_agents.search_problem(problem, searcher="dyna-ppo", evaluations=10)
    return result.best, result.score


def _train_agent(folder: Path) -> Any:
    problem = rlquant.TabularProblem(prepare().table, BUDGET)
    made = train_agent(
        {"toy": problem},
        [BUDGET],
        folder=folder / "agent",
        episodes=12,
        settings=MaskedPPO(hidden=8, episodes=4),
    )
    search = rlquant_agents.search_problem(
        problem, searcher=from_agent(folder / "agent"), evaluations=6
    )
    return made.episodes, made.answers, search.best, search.score


# --- environments


def _episodes(env: Any, actions: Any) -> Any:
    """Play until the end twice, and return everything that was seen."""
    seen: list[Any] = []
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        seen.append(observation)
        ended = False
        while not ended:
            observation, reward, terminated, truncated, info = env.step(actions())
            seen += [observation, reward, info.get("score")]
            ended = bool(np.any(terminated)) or bool(np.any(truncated))
    return seen


def _layerwise(folder: Path) -> Any:
    env = LayerwiseQuantization(fresh_problem(), budget=[BUDGET, Budget.average_bits(9)])
    return _episodes(env, lambda: np.zeros(env.action_space.shape, dtype=np.int64))


def _one_decision(folder: Path) -> Any:
    env = OneDecisionAtATime(TabularQuantization(prepare().table, budget=BUDGET))
    return _episodes(env, lambda: 1)


def _tabular_vector(folder: Path) -> Any:
    env = TabularVectorQuantization(prepare().table, 3, budget=BUDGET)
    return _episodes(env, lambda: np.ones(env.action_space.shape, dtype=np.int64))


def _point_assignment(folder: Path) -> Any:
    toys = prepare()
    problem = rlquant.layer_problem(toys.network, toys.train, calibration_samples=64)
    env = PointAssignment(problem)
    return _episodes(env, lambda: np.ones(env.action_space.shape, dtype=np.int8))


def _load_task(folder: Path) -> Any:
    settings = rlquant.tasks.FloatTrainSettings(epochs=1)
    return [
        _outputs(task.network, task.test)
        for task in (
            rlquant.tasks.load("digits/mlp", cache=folder, settings=settings) for _ in range(2)
        )
    ]


PUBLIC_CALLS: Mapping[str, Call] = {
    "quantize": _quantize,
    "quantize by outputs": _quantize_hessian_based,
    "quantize images": _quantize_images,
    "quantize without data": _quantize_without_data,
    "train": _train,
    "train images": _train_images,
    "train in fixed point": _train_fixed_point,
    "refine": _refine,
    "find_layers": _find_layers,
    "layer_problem": _layer_problem,
    "prepare": _prepare,
    "measure": _measure,
    "quantizers": _quantizers,
    "pack": _pack,
    "unpack": _unpack,
    "save and load": _save_and_load,
    "dequantize": _dequantize,
    "export_onnx": _export_onnx,
    "export_gguf": _export_gguf,
    "export_compressed_tensors": _export_compressed_tensors,
    "export integers": _export_integers,
    "profile_latency": _profile,
    "table file": _table_file,
    "QuantizationProblem": _make_problem,
    "evaluate": _evaluate,
    "evaluate whole": _evaluate_whole,
    "evaluate images": _evaluate_images,
    "evaluate_many": _evaluate_many,
    "scan": _scan,
    "build": _build,
    "evaluate tuned": _evaluate_tuned,
    "race": _race,
    "probe": _probe,
    "grouped problem": _grouped,
    "tabular problem": _tabular,
    "shipped table": _shipped_table,
    "random table": _random_table,
    "search to a folder": _search_to_folder,
    "search a table": _search_table,
    "train_agent": _train_agent,
    "layerwise environment": _layerwise,
    "one decision environment": _one_decision,
    "tabular vector environment": _tabular_vector,
    "assignment environment": _point_assignment,
    "load a task": _load_task,
    **{
        f"search with {name}": search_with(name)
        for name in searchers()
        if name not in ("auto", "successive-halving")  # another's, and one that needs training
    },
}
"""Name -> the call. A new public call belongs in here."""
