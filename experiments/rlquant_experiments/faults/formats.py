"""Every format of files that is read: how a valid one is made, and a reader that checks content.

A reader gets a folder of files, damaged or not. It raises `RlquantError` where it refuses them, and
`Broken` where it takes content that no valid file has.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
import struct
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import rlquant
from rlquant import (
    Budget,
    EvaluationStore,
    LatencyTable,
    QuantizationConfig,
    Score,
    TabularProblem,
    tasks,
)
from rlquant.export.rlq.packed import read_config
from rlquant.files import reading
from rlquant.score import Measurement
from rlquant.tabular.table_file import read_table, write_table
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.idx import read_idx
from rlquant.tasks.tar_members import read_members
from rlquant_agents import search_problem, write_report
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import from_agent
from rlquant_experiments.comparison.variants import read_variants
from rlquant_experiments.faults import toys
from rlquant_experiments.faults.campaign import require
from rlquant_experiments.faults.language_models import (
    read_gguf,
    read_importances,
    write_gguf,
    write_imatrix,
)
from rlquant_experiments.tables.enumeration import Enumeration

Check = Callable[[Path], None]
SEARCH: Mapping[str, Any] = {"searcher": "random", "evaluations": 6, "seed": 1}


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file, or a folder of several.

    Attributes:
        name: as trials call it.
        write: makes the valid files in a folder.
        read: reads and checks them; see above.
        skip: endings of files that no reader looks at.
        share: how often it is damaged, beside the others; slow readers less often.
        cpu_seconds: that reading may take.
    """

    name: str
    write: Callable[[Path], object]
    read: Check
    skip: tuple[str, ...] = ()
    share: float = 1.0
    cpu_seconds: float = 2.0


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


# --- packed networks and tables


def _write_packed(folder: Path) -> None:
    rlquant.save(toys.quantized(), folder / "model.rlq")


def _read_packed(folder: Path) -> None:
    read_config(folder / "model.rlq")
    loaded = rlquant.load(folder / "model.rlq", toys.network())
    outputs = loaded(toys.data(4, seed=3)[0])
    require(outputs.shape == (4, toys.CLASSES), f"outputs of shape {tuple(outputs.shape)}")
    require(outputs.dtype == torch.float32, f"outputs of type {outputs.dtype}")


def _read_table(folder: Path) -> None:
    table = read_table(folder / "x.rlt")
    measured = table.measured
    require(len(measured.losses) == table.count, "a table with too few losses")
    problem = TabularProblem(table, Budget.average_bits(1e9))
    problem.evaluate_indices([0] * len(table.facts))
    rlquant.probe(problem)
    write_table(table, folder / "again.rlt")
    again = read_table(folder / "again.rlt")
    require(again.groups == table.groups, "a table that is another one when written again")


# --- configurations, scores, variants, latencies


def _write_config(folder: Path) -> None:
    (folder / "config.json").write_text(toys.CONFIG.to_json(indent=2))


def _read_config(folder: Path) -> None:
    config = QuantizationConfig.from_json(_text(folder / "config.json"))
    require(QuantizationConfig.from_json(config.to_json()) == config, "no round trip")
    require(len({config, config.canonical()}) > 0, "no hash")
    require(len(config.key) == 32, "no key")


def _write_score(folder: Path) -> None:
    score = toys.problem().float_score
    (folder / "score.json").write_text(score.to_json(indent=2))


def _read_score(folder: Path) -> None:
    score = Score.from_json(_text(folder / "score.json"))
    numbers = (score.loss, score.accuracy, score.average_bits, score.size_ratio)
    require(all(type(n) in (int, float) for n in numbers), f"numbers {numbers!r}")
    whole = (score.size_bytes, score.bops, score.samples)
    require(all(type(n) is int and n >= 0 for n in whole), f"whole numbers {whole!r}")
    require(type(score.partial) is bool, f"partial={score.partial!r}")
    require(Score.from_json(score.to_json()).size_bytes == score.size_bytes, "no round trip")


def _text(path: Path) -> str:
    """Return a file as a caller reads it, who replaces what is no UTF-8."""
    with reading(path):
        return path.read_text(encoding="utf-8", errors="replace")


def _write_variants(folder: Path) -> None:
    document = {
        "tuned": {"searcher": "tpe", "settings": {"reward": "loss"}},
        "plain": {"searcher": "random"},
    }
    (folder / "variants.json").write_text(json.dumps(document))


def _read_variants(folder: Path) -> None:
    for variant in read_variants(folder / "variants.json"):
        variant.make()


def _write_latencies(folder: Path) -> None:
    lines = ["kind,shape,bits,activation_bits,macs,seconds,batch,threads"]
    lines += [
        f"linear,{shape},{bits},,,{bits * 1e-6},1,1"
        for shape in ("8x6", "8x8", "3x8")
        for bits in (2, 4, 8, 32)
    ]
    (folder / "latency.csv").write_text("\n".join(lines) + "\n")


def _read_latencies(folder: Path) -> None:
    table = LatencyTable.read(folder / "latency.csv")
    seconds = table.rows.values()
    require(all(math.isfinite(s) and s >= 0 for s in seconds), f"seconds {list(seconds)!r}")
    toys.problem(budget=Budget.latency(1e6, table))


# --- stores


def _write_store(folder: Path) -> None:
    with closing(EvaluationStore(folder / "store.sqlite")) as store:
        for bits in (2, 4, 8):
            measured = Measurement(0.1 * bits, 0.5, 50)
            store.put("problem", _config(bits), measured, 0.1)
    for left in folder.glob("store.sqlite-*"):
        left.unlink()


def _config(bits: int) -> QuantizationConfig:
    return QuantizationConfig((rlquant.LayerChoice("first", bits),))


def _read_store(folder: Path) -> None:
    with closing(EvaluationStore(folder / "store.sqlite")) as store:
        store.count()
        for bits in (2, 4, 8, 3):
            found = store.get("problem", _config(bits))
            if found is not None:
                numbers = (found.loss, found.accuracy)
                require(all(type(n) is float for n in numbers), f"numbers {numbers!r}")
                count = found.samples
                require(type(count) is int and count > 0, f"samples={count!r}")
        store.put("problem", _config(5), Measurement(0.5, 0.5, 50), 0.1)
        found = store.get("problem", _config(5))
        require(found is not None and found.loss == 0.5, "what was put is not there")


# --- data sets and networks that are kept


def _write_idx(folder: Path) -> None:
    content = struct.pack(">4B3I", 0, 0, 8, 3, 20, 8, 8) + bytes(range(256)) * 5
    (folder / "images.gz").write_bytes(gzip.compress(content, mtime=0))


def _read_idx(folder: Path) -> None:
    values = read_idx(folder / "images.gz", (20, 8, 8), remedy="copy it again")
    require(values.shape == (20, 8, 8), f"values of shape {values.shape}")


_MEMBERS = {"a/train.bin": 3000, "a/test.bin": 1000}


def _write_archive(folder: Path) -> None:
    with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
        for name, size in _MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(range(250)) * (size // 250)))


def _read_archive(folder: Path) -> None:
    found = read_members(folder / "data.tar.gz", _MEMBERS, remedy="copy it again")
    sizes = {name: len(content) for name, content in found.items()}
    require(sizes == _MEMBERS, f"members {sizes}")


_QUICKLY = FloatTrainSettings(epochs=1)


def _load_task(folder: Path) -> dict[str, Tensor]:
    network = tasks.load("digits/mlp", cache=folder, settings=_QUICKLY).network
    return network.state_dict()


_TRAINED: dict[str, Tensor] = {}
"""The weights that a valid file holds, from the first time that one was written."""


def _write_network(folder: Path) -> None:
    _TRAINED.update({name: value.clone() for name, value in _load_task(folder).items()})


def _read_network(folder: Path) -> None:
    state = _load_task(folder)
    require(all(map(_finite, state.values())), "weights that are not finite")
    same = all(torch.equal(value, _TRAINED[name]) for name, value in state.items())
    require(same, "other weights than the trained ones, without a word")


# --- agents, runs, enumerations


def _write_agent(folder: Path) -> None:
    problem = toys.tabular_problem()
    train_agent({"toy": problem}, [problem.budget], folder=folder / "agent", episodes=8)


def _read_agent(folder: Path) -> None:
    agent = from_agent(folder / "agent")
    result = search_problem(toys.tabular_problem(), searcher=agent, evaluations=1, seed=0)
    require(len(result.history) == 1, "no answer")


def _write_run(folder: Path) -> None:
    search_problem(toys.problem(), out=folder / "run", **SEARCH)


def _read_run_report(folder: Path) -> None:
    report = write_report(folder / "run")
    require("<html" in report.html and len(report.html) < 2**22, "no page")
    require("<script>1" not in report.html, "content of a file became part of the page")


def _resume_run(folder: Path) -> None:
    result = search_problem(toys.problem(), out=folder / "run", **SEARCH)
    require(len(result.history) == SEARCH["evaluations"], "another number of evaluations")
    require(toys.problem().budget.limit >= result.score.average_bits, "over the budget")
    rows = (folder / "run" / "evaluations.csv").read_text().splitlines()
    losses = [e.score.loss for e in result.history]
    column = rows[0].split(",").index("loss")
    told = [float(row.split(",")[column]) for row in rows[1:]]
    require(told == losses, "evaluations.csv says other losses than the search returns")


def _write_enumeration(folder: Path) -> None:
    Enumeration(toys.problem(space=_TWO), folder / "table.partial").run()


_TWO = rlquant.SearchSpace(bits=(2, 8))


def _resume_enumeration(folder: Path) -> None:
    work = Enumeration(toys.problem(space=_TWO), folder / "table.partial")
    require(len(work.run()) == work.count, "not all configurations")


_RUN_SKIPPED = (".png", ".html", ".md")

FORMATS: tuple[Format, ...] = (
    Format("packed network", _write_packed, _read_packed, share=6),
    Format("table", lambda f: write_table(toys.table(), f / "x.rlt"), _read_table, share=4),
    Format("configuration", _write_config, _read_config, share=2),
    Format("score", _write_score, _read_score, share=2),
    Format("variants", _write_variants, _read_variants),
    Format("latency table", _write_latencies, _read_latencies, share=2),
    Format("evaluation store", _write_store, _read_store, share=3),
    Format("idx data", _write_idx, _read_idx),
    Format("archive of data", _write_archive, _read_archive),
    Format("network that is kept", _write_network, _read_network, share=0.5, cpu_seconds=30),
    Format("agent", _write_agent, _read_agent, skip=("tfevents",), share=2, cpu_seconds=4),
    Format("run, for its report", _write_run, _read_run_report, skip=_RUN_SKIPPED, share=4),
    Format("run that goes on", _write_run, _resume_run, _RUN_SKIPPED, share=0.5, cpu_seconds=30),
    Format("GGUF file", write_gguf, read_gguf, share=4),
    Format("importance matrix", write_imatrix, read_importances),
    Format("enumeration that goes on", _write_enumeration, _resume_enumeration),
)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a format to a folder that is there."""
    shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
