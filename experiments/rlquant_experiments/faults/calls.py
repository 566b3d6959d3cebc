"""The public calls on toy arguments: each cheap, and the same in every process.

A call names a function and makes arguments for it; parts of the campaign change arguments or
surroundings, and compare with what comes out undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import rlquant
import rlquant_agents
import rlquant_envs
from rlquant import (
    Budget,
    EvaluationStore,
    LatencyTable,
    LayerChoice,
    QuantizationConfig,
    Score,
    quantizers,
)
from rlquant.export.rlq.packed import read_config
from rlquant.score import Measurement
from rlquant.tabular.table_file import read_table, write_table
from rlquant.testing import random_table
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import from_agent
from rlquant_experiments.faults import toys

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A public function or class, and arguments that it takes.

    Attributes:
        name: as users write it.
        function: what is called.
        arguments: makes them, by name, again for each call; may write files to the folder given.
    """

    name: str
    function: Callable[..., Any]
    arguments: Callable[[Path], Arguments]

    def __call__(self, folder: Path) -> Any:
        """Call it with its own arguments."""
        return self.function(**self.arguments(folder))


def _weights() -> Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(5))


def _live(folder: Path) -> Arguments:
    return {
        "network": toys.network(),
        "train_data": toys.data(40, seed=1),
        "validation_data": toys.data(50, seed=2),
        "budget": toys.BUDGET,
        "space": toys.SPACE,
        "evaluation": rlquant.EvaluationSettings(calibration_samples=40, batch_size=16),
    }


def _search(folder: Path) -> Arguments:
    return _live(folder) | {"searcher": "random", "evaluations": 3, "out": folder / "run"}


def _train(folder: Path) -> Arguments:
    return {
        "network": toys.network(),
        "config": toys.CONFIG,
        "train_data": toys.data(40, seed=1),
        "validation_data": toys.data(50, seed=2),
        "settings": rlquant.TrainSettings(epochs=1, batch_size=20),
        "evaluation": rlquant.EvaluationSettings(calibration_samples=40),
    }


def _packed(folder: Path) -> Path:
    rlquant.save(toys.quantized(), folder / "given.rlq")
    return folder / "given.rlq"


def _table_file(folder: Path) -> Path:
    write_table(toys.table(), folder / "given.rlt")
    return folder / "given.rlt"


def _latency_file(folder: Path) -> Path:
    path = folder / "given.csv"
    path.write_text("kind,shape,bits,seconds\nlinear,8x6,4,1e-6\n")
    return path


def _run(folder: Path) -> Path:
    rlquant_agents.search(**(_live(folder) | {"searcher": "uniform", "out": folder / "given"}))
    return folder / "given"


def _agent(folder: Path) -> Arguments:
    problem = toys.tabular_problem()
    return {
        "problems": {"toy": problem},
        "budgets": [problem.budget],
        "folder": folder / "agent",
        "episodes": 4,
    }


def _put_and_get(problem: Any, config: Any, measured: Any, seconds: Any, path: Any) -> Any:
    store = EvaluationStore(path)
    try:
        store.put(problem, config, measured, seconds)
        return store.get(problem, config), store.count(problem)
    finally:
        store.close()


def _episode(
    environment: Callable[..., Any], seed: Any, options: Any, action: Any, **made: Any
) -> Any:
    env = environment(**made)
    env.reset(seed=seed, options=options)
    return env.step(action)[1:4]


def _layerwise(action: Any, seed: Any = None, options: Any = None, **made: Any) -> Any:
    return _episode(rlquant_envs.LayerwiseQuantization, seed, options, action, **made)


def _tabular(action: Any, seed: Any = None, options: Any = None, **made: Any) -> Any:
    return _episode(rlquant_envs.TabularQuantization, seed, options, action, **made)


def _vector(action: Any, seed: Any = None, options: Any = None, **made: Any) -> Any:
    return _episode(rlquant_envs.TabularVectorQuantization, seed, options, action, **made)


def _assignment(action: Any, seed: Any = None, options: Any = None, **made: Any) -> Any:
    return _episode(rlquant_envs.PointAssignment, seed, options, action, **made)


def _write_report(folder: Any, against: Any = (), out: Any = None) -> Any:
    """Tell of the page only whether there is one: it holds times."""
    return "<html" in rlquant_agents.write_report(folder, against, out).html


def _make_searcher(name: Any, reward: Any) -> Any:
    return rlquant_agents.make_searcher(name, reward=reward)


def _layer_problem() -> Any:
    return rlquant.layer_problem(toys.network(), toys.data(40, seed=1), calibration_samples=40)


_RAW: Mapping[str, tuple[Callable[..., Any], Callable[[Path], Arguments]]] = {
    "LayerChoice": (LayerChoice, lambda f: {"layer": "first", "bits": 4}),
    "QuantizationConfig": (QuantizationConfig, lambda f: {"choices": toys.CONFIG.choices}),
    "QuantizationConfig.from_json": (
        QuantizationConfig.from_json,
        lambda f: {"text": toys.CONFIG.to_json()},
    ),
    "QuantizationConfig.__getitem__": (toys.CONFIG.__getitem__, lambda f: {"layer": "first"}),
    "QuantizationConfig.canonical": (toys.CONFIG.canonical, lambda f: {"fidelity": "tuned"}),
    "Score.from_json": (Score.from_json, lambda f: {"text": toys.problem().float_score.to_json()}),
    "SearchSpace": (
        rlquant.SearchSpace,
        lambda f: {"bits": (2, 4), "rounding": ("nearest",), "exclude": ("last",)},
    ),
    "Budget": (Budget, lambda f: {"quantity": "size_ratio", "limit": 0.5}),
    "Budget.average_bits": (Budget.average_bits, lambda f: {"limit": 3.0}),
    "Budget.size_bytes": (Budget.size_bytes, lambda f: {"limit": 900}),
    "Budget.bops": (Budget.bops, lambda f: {"limit": 1e6}),
    "Budget.latency": (
        Budget.latency,
        lambda f: {"seconds": 0.1, "table": LatencyTable.read(_latency_file(f))},
    ),
    "LatencyTable.read": (LatencyTable.read, lambda f: {"path": _latency_file(f)}),
    "Racing": (rlquant.Racing, lambda f: {"confidence": 0.9, "top": 2, "seed": 1}),
    "TrainSettings": (rlquant.TrainSettings, lambda f: {"epochs": 2, "batch_size": 8}),
    "CropAndFlip": (rlquant.CropAndFlip, lambda f: {}),
    "find_layers": (
        rlquant.find_layers,
        lambda f: {"network": toys.network(), "example_input": toys.data(2, seed=1)[0]},
    ),
    "quantize": (
        rlquant.quantize,
        lambda f: {
            "network": toys.network(),
            "config": toys.CONFIG,
            "calibration": toys.data(40, seed=1),
            "calibration_samples": 40,
        },
    ),
    "measure": (
        rlquant.measure,
        lambda f: {"network": toys.network(), "data": toys.data(20, seed=3), "batch_size": 8},
    ),
    "train": (rlquant.train, _train),
    "dequantize": (rlquant.dequantize, lambda f: {"quantized": toys.quantized()}),
    "save": (rlquant.save, lambda f: {"quantized": toys.quantized(), "path": f / "x.rlq"}),
    "load": (rlquant.load, lambda f: {"path": _packed(f), "network": toys.network()}),
    "pack": (rlquant.pack, lambda f: {"quantized": toys.quantized()}),
    "unpack": (
        rlquant.unpack,
        lambda f: {"data": rlquant.pack(toys.quantized()), "network": toys.network()},
    ),
    "read_config": (read_config, lambda f: {"path": _packed(f)}),
    "export_onnx": (
        rlquant.export_onnx,
        lambda f: {
            "quantized": toys.quantized(),
            "example_input": toys.data(2, seed=1)[0],
            "path": f / "x.onnx",
        },
    ),
    "QuantizationProblem": (rlquant.QuantizationProblem, _live),
    "QuantizationProblem.evaluate": (toys.evaluate, lambda f: {"config": toys.CONFIG}),
    "QuantizationProblem.evaluate_many": (
        toys.evaluate_many,
        lambda f: {"configs": [toys.CONFIG, QuantizationConfig(())]},
    ),
    "QuantizationProblem.build": (toys.build, lambda f: {"config": toys.CONFIG}),
    "QuantizationProblem.with_budget": (
        toys.with_budget,
        lambda f: {"budget": Budget.average_bits(5.0)},
    ),
    "layer_problem": (
        rlquant.layer_problem,
        lambda f: {
            "network": toys.network(),
            "calibration": toys.data(40, seed=1),
            "layer": "second",
            "calibration_samples": 40,
        },
    ),
    "probe": (rlquant.probe, lambda f: {"problem": toys.tabular_problem()}),
    "refine": (
        rlquant.refine,
        lambda f: {
            "problem": toys.problem(),
            "config": QuantizationConfig((LayerChoice("first", 2, rounding="gptq"),)),
            "train_data": toys.data(40, seed=1),
        },
    ),
    "random_table": (random_table, lambda f: {"groups": 2, "options": 3}),
    "load_table": (rlquant.load_table, lambda f: {"table": str(_table_file(f))}),
    "read_table": (read_table, lambda f: {"path": _table_file(f)}),
    "write_table": (write_table, lambda f: {"table": toys.table(), "path": f / "x.rlt"}),
    "TabularProblem": (
        rlquant.TabularProblem,
        lambda f: {"table": toys.table(), "budget": Budget.average_bits(4.0)},
    ),
    "TabularProblem.evaluate_indices": (
        toys.tabular_problem().evaluate_indices,
        lambda f: {"indices": (0, 1, 2)},
    ),
    "TabularProblem.losses_of": (
        toys.tabular_problem().losses_of,
        lambda f: {"indices": [[0, 1, 2], [1, 1, 1]]},
    ),
    "GroupedProblem": (
        rlquant.GroupedProblem,
        lambda f: {"problem": toys.problem(), "groups": ["first", "s*", "last"]},
    ),
    "EvaluationStore": (
        _put_and_get,
        lambda f: {
            "problem": "p",
            "config": toys.CONFIG,
            "measured": Measurement(0.5, 0.5, 10),
            "seconds": 0.1,
            "path": f / "s.sqlite",
        },
    ),
    "tasks.load": (rlquant.tasks.load, lambda f: {"name": "digits/mlp"}),
    "search": (rlquant_agents.search, _search),
    "search_problem": (
        rlquant_agents.search_problem,
        lambda f: {"problem": toys.tabular_problem(), "searcher": "tpe", "evaluations": 3},
    ),
    "make_searcher": (
        _make_searcher,
        lambda f: {"name": "local-swap", "reward": "loss"},
    ),
    "write_report": (_write_report, lambda f: {"folder": _run(f)}),
    "train_agent": (train_agent, _agent),
    "from_agent": (from_agent, lambda f: {"folder": train_agent(**_agent(f)).folder}),
    "LayerwiseQuantization": (
        _layerwise,
        lambda f: {
            "problem": toys.tabular_problem(),
            "action": [1],
            "seed": 1,
            "options": None,
            "budget": None,
            "reward": "log_loss",
            "render_mode": None,
        },
    ),
    "TabularQuantization": (
        _tabular,
        lambda f: {
            "table": toys.table(),
            "action": [1],
            "seed": 1,
            "options": None,
            "budget": [Budget.average_bits(4.0)],
            "reward": "loss",
        },
    ),
    "TabularVectorQuantization": (
        _vector,
        lambda f: {"table": toys.table(), "action": [[1], [0]], "num_envs": 2, "reward": "loss"},
    ),
    "PointAssignment": (
        _assignment,
        lambda f: {
            "problem": _layer_problem(),
            "action": _layer_problem().nearest.numpy(),
            "one_at_a_time": False,
        },
    ),
    "quantize_integer": (
        quantizers.quantize_integer,
        lambda f: {"weights": _weights(), "bits": 3, "group_size": 4},
    ),
    "quantize_to_scale": (
        quantizers.quantize_to_scale,
        lambda f: {"weights": _weights(), "scale": torch.ones(6), "bits": 4},
    ),
    "quantize_power_of_two": (
        quantizers.quantize_power_of_two,
        lambda f: {"weights": _weights(), "bits": 4},
    ),
    "quantize_to_points": (
        quantizers.quantize_to_points,
        lambda f: {"weights": _weights(), "points": torch.linspace(0, 1, 4), "group_size": 8},
    ),
    "quantile_points": (
        quantizers.quantile_points,
        lambda f: {"weights": _weights(), "count": 4},
    ),
    "kmeans_points": (quantizers.kmeans_points, lambda f: {"weights": _weights(), "count": 4}),
    "quantize_affine": (
        quantizers.quantize_affine,
        lambda f: {"weights": _weights(), "bits": 3},
    ),
    "quantize_fixed_point": (
        quantizers.quantize_fixed_point,
        lambda f: {"x": _weights(), "integer_bits": 4, "fraction_bits": 4},
    ),
    "quantize_ternary": (
        quantizers.quantize_ternary,
        lambda f: {"weights": _weights(), "positive_scale": 1.0, "negative_scale": 1.0},
    ),
    "ternary_scales": (quantizers.ternary_scales, lambda f: {"weights": _weights()}),
    "activation_range": (
        quantizers.activation_range,
        lambda f: {"x": _weights(), "method": "percentile"},
    ),
}

CALLS: Mapping[str, Call] = {
    name: Call(name, function, arguments) for name, (function, arguments) in _RAW.items()
}
"""The calls by name."""
