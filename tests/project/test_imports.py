"""The layers of the project: who may import whom, and what is reachable, read with `ast`."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Lowest first: a package imports only itself and those above it in this table.
PACKAGES = {
    "rlquant": "rlquant",
    "rlquant_envs": "envs/rlquant_envs",
    "rlquant_agents": "agents/rlquant_agents",
    "rlquant_experiments": "experiments/rlquant_experiments",
    "scripts": "scripts",
}

WHEEL = ("rlquant", "rlquant_envs", "rlquant_agents")

# The rooms of a package: a room imports only itself and those before it.
ROOMS = {
    "rlquant": (
        *(
            "counted",
            "errors",
            "allocator",
            "ambient",
            "paths",
            "pasting",
            "plugins",
            "escaping",
            "process_identity",
            "files",
            "file_group",
        ),
        *("documents", "folder_lock", "version", "finished_run", "arguments", "executors"),
        *("config", "quantizers", "copying", "plain_network"),
        *(
            "forward_pass",
            "offloaded_tensors",
            "samples",
            "objective",
            "batch_size",
            "network_kind",
            "shared_embedding",
            "weight_sites",
            "responsiveness",
            "layer_names",
            "network_inputs",
            "quantizable",
            "multiply_accumulates",
            "layers",
            "layer_groups",
            "tie",
            "space",
            "precision",
            "evaluation_settings",
            "rotation",
        ),
        *(
            "gguf",
            "cost",
            "data",
            "rounding",
            "pareto",
            "score",
            "network",
            "training",
            "evaluation",
            "store",
            "sensitivity",
        ),
        *("visualization", "export", "problem", "optuna_objective", "tabular", "probing"),
        *("profiling", "tasks", "testing", "moved"),
        *("public", "__init__", "__main__"),
    ),
    "rlquant_agents": (
        *("search", "reporting", "runs", "api", "surrogate", "searchers", "policies"),
        *("cli", "testing", "__init__"),
    ),
    "rlquant_experiments": (
        *("float_layers", "kept_rows", "baselines", "tables", "comparison", "benchmarks"),
        *("pretraining", "reproduction"),
        *("faults", "reference", "landscapes", "real_networks", "layer_policy", "at_scale"),
        *("targets", "scaling", "commands", "__init__"),
    ),
}

SEARCH_ROOMS = {"space", "evaluation", "problem", "tabular", "probing"}
# Beyond the order: what a room must not import although it stands before.
FORBIDDEN = {"rlquant": {"tasks": SEARCH_ROOMS | {"export"}}}

AGENTS = "agents/rlquant_agents"
EXPERIMENTS = "experiments/rlquant_experiments"
PPO_FILES = (
    *(f"{AGENTS}/searchers/{name}" for name in ("ppo/*.py", "dyna_ppo/*.py")),
    *(f"{AGENTS}/policies/*.py", f"{AGENTS}/search/callbacks.py"),
    f"{EXPERIMENTS}/pretraining/*.py",
    f"{EXPERIMENTS}/baselines/ddpg.py",
)
OPTUNA_FILES = (f"{AGENTS}/searchers/optuna/*.py", f"{EXPERIMENTS}/baselines/optuna_*.py")

# Module and everything below it -> the files that may import it, as patterns of paths.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "stable_baselines3": PPO_FILES,
    "sb3_contrib": PPO_FILES,
    "optuna": OPTUNA_FILES,
    "matplotlib": (
        *("*figures.py", "rlquant/visualization.py"),
        f"{AGENTS}/reporting/figure_*.py",
    ),
    "torch.utils.tensorboard": (f"{AGENTS}/*.py", f"{EXPERIMENTS}/*.py"),
    "gymnasium": ("envs/*", "agents/*", "experiments/*", "scripts/*"),
    "envs": (),
    "agents": (),
    "experiments": (),
    "loky": ("rlquant/executors/*.py",),
    "distributed": ("rlquant/executors/cluster.py", "rlquant/executors/slurm.py"),
    "dask_jobqueue": ("rlquant/executors/slurm.py",),
    "sqlalchemy": ("rlquant/store/*.py",),
    "psycopg": ("rlquant/store/[cp]*.py",),  # commands, connections, postgres
    "pytest": ("rlquant/testing/[cr]*", f"{AGENTS}/testing/searchers.py"),
    "tests": (),
}


# Where users come in: the public packages, and the commands that are the product's.
ENTRANCES = (
    *("rlquant", "rlquant.__main__", "rlquant_envs", "rlquant_agents"),
    *("rlquant.testing", "rlquant.testing.conformance", "rlquant_agents.testing"),
)
# In the wheel although none of them reaches it -> why.
UNREACHED: dict[str, str] = {}
PLACE = re.compile(r"(rlquant\w*(?:\.\w+)+):\w+")
"""An entry of a registry of classes, "module:attribute"."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and where: `path` is relative to the root, `module` the importer."""

    path: str
    line: int
    module: str
    target: str


def modules(root: Path) -> dict[str, Path]:
    """Return every module of the project by dotted name; a package is its `__init__`."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join((package, *parts))] = path
    return found


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Return what a file may import or name with: parsed once for all tests."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.Constant)
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))


def imports(root: Path) -> Iterator[Import]:
    """Yield every import, inside functions and under TYPE_CHECKING too."""
    known = modules(root)
    for module, path in known.items():
        place = path.relative_to(root).as_posix()
        for node in nodes(path.read_text(encoding="utf-8")):
            for target in targets(node, known):
                yield Import(place, node.lineno, module, target)  # type: ignore[attr-defined]


def targets(node: ast.AST, known: dict[str, Path]) -> list[str]:
    """Return the modules that a statement imports; `from a import b` is `a.b` if that is one."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=source, names=names, level=level):
            if level or source is None:
                return ["." * level + (source or "")]
            own = source.partition(".")[0] in PACKAGES
            longer = [f"{source}.{alias.name}" for alias in names]
            found = [name if name in known or not own else source for name in longer]
            return list(dict.fromkeys(found))
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module")):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return [first.value]
    return []


def registered(path: Path) -> Iterator[str]:
    """Yield the modules that the strings of a file name as "module:attribute"."""
    for node in nodes(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = PLACE.fullmatch(node.value)
            if found:
                yield found[1]


def unreachable(root: Path, entrances: Iterable[str] = ENTRANCES) -> set[str]:
    """Return the modules of the wheel that no chain of imports from an entrance leads to."""
    known = modules(root)
    leads: dict[str, set[str]] = {module: set() for module in known}
    for found in imports(root):
        leads[found.module].add(found.target)
    for module, path in known.items():
        leads[module].update(registered(path))
    left, reached = list(entrances), set[str]()
    while left:
        module = left.pop()
        if module in known and module not in reached:
            reached.add(module)
            left.extend(leads[module])
            left.append(module.rpartition(".")[0])  # importing a module runs its packages
    wheel = {module for module in known if module.partition(".")[0] in WHEEL}
    return wheel - reached


def commands(root: Path) -> list[str]:
    """Return the modules of the commands that installing the wheel makes."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [place.partition(":")[0] for place in project.get("scripts", {}).values()]


def room(module: str) -> str:
    """Return the room of a module: its first part below the package."""
    return module.split(".")[1] if "." in module else "__init__"


def fault(found: Import) -> str | None:
    """Say what is wrong with an import, or None."""
    if found.target.startswith("."):
        return "relative import"
    for module, patterns in ONLY_IN.items():
        inside = f"{found.target}.".startswith(f"{module}.")
        if inside and not any(fnmatch(found.path, pattern) for pattern in patterns):
            return f"{module} belongs to {patterns or 'no file'}"
    order = list(PACKAGES)
    importer, imported = (name.partition(".")[0] for name in (found.module, found.target))
    if imported not in order:
        return None
    if order.index(imported) > order.index(importer):
        return f"{importer} stands below {imported}"
    if importer == imported and importer in ROOMS:
        return room_fault(importer, room(found.module), room(found.target))
    return None


def room_fault(package: str, importer: str, imported: str) -> str | None:
    """Say what is wrong with an import between two rooms of a package, or None."""
    rooms = ROOMS[package]
    for name in (importer, imported):
        if name not in rooms:
            return f"room {name} has no place in ROOMS: give it one"
    if rooms.index(imported) > rooms.index(importer):
        return f"room {importer} stands above {imported}"
    if imported in FORBIDDEN.get(package, {}).get(importer, ()):
        return f"room {importer} must know nothing of {imported}"
    return None


def violations(root: Path) -> list[str]:
    """Return one line for each import that breaks the layers."""
    checked = ((found, fault(found)) for found in imports(root))
    return [f"{f.path}:{f.line} imports {f.target}: {why}" for f, why in checked if why]


def circle(root: Path) -> list[str]:
    """Return modules of the project that import each other in a circle, or nothing."""
    known = modules(root)
    graph: dict[str, set[str]] = {module: set() for module in known}
    for found in imports(root):
        if found.target in known:
            graph[found.module].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


def test_the_project_keeps_its_layers() -> None:
    assert "rlquant.errors" in modules(ROOT)
    assert violations(ROOT) == []


def test_the_project_has_no_circle() -> None:
    assert circle(ROOT) == []


def test_everything_in_the_wheel_can_be_reached() -> None:
    found = unreachable(ROOT, (*ENTRANCES, *commands(ROOT)))
    assert found == set(UNREACHED), "delete it, move it to experiments/, or give a reason"


def test_what_is_reached_is_followed_through_registries_and_functions(tmp_path: Path) -> None:
    files = {
        "rlquant/__init__.py": "def f():\n    from rlquant.lazy import x",
        "rlquant/lazy.py": "from importlib import import_module\nimport_module('rlquant.a.b')",
        "rlquant/a/__init__.py": "",
        "rlquant/a/b.py": "PLACES = {'c': 'rlquant.c:C'}",
        "rlquant/c.py": "",
        "rlquant/alone.py": "import rlquant.friend",
        "rlquant/friend.py": "'rlquant.alone'",
        "experiments/rlquant_experiments/d.py": "import rlquant.alone",
    }
    assert unreachable(plant(tmp_path, files)) == {"rlquant.alone", "rlquant.friend"}


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("rlquant/space.py", "import rlquant_envs", "rlquant stands below rlquant_envs"),
        ("envs/rlquant_envs/a.py", "import rlquant_agents.api", "stands below rlquant_agents"),
        ("agents/rlquant_agents/a.py", "from scripts import x", "stands below scripts"),
        ("rlquant/errors.py", "from rlquant.config import Method", "errors stands above config"),
        ("rlquant/errors.py", "from rlquant import Score", "errors stands above __init__"),
        (
            "rlquant/evaluation/a.py",
            "import rlquant.problem.live",
            "evaluation stands above problem",
        ),
        (
            "rlquant/evaluation/a.py",
            "import rlquant.export.rlq.packed",
            "evaluation stands above export",
        ),
        ("rlquant/tasks/a.py", "import rlquant.space", "tasks must know nothing of space"),
        ("rlquant/tasks/a.py", "import rlquant.export", "tasks must know nothing of export"),
        ("rlquant/utils.py", "import rlquant.errors", "utils has no place in ROOMS"),
        ("rlquant/a/b.py", "from ..errors import x", "relative import"),
        ("rlquant/cost/budget.py", "import gymnasium", "gymnasium belongs to"),
        ("envs/rlquant_envs/a.py", "import agents", "agents belongs to no file"),
        ("agents/rlquant_agents/api.py", "import optuna", "optuna belongs to"),
        (
            "agents/rlquant_agents/searchers/ppo/searcher.py",
            "from optuna.trial import x",
            "optuna belongs to",
        ),
        ("agents/rlquant_agents/api.py", "import sb3_contrib", "sb3_contrib belongs to"),
        ("agents/rlquant_agents/tpe.py", "import stable_baselines3", "stable_baselines3 belongs"),
        ("scripts/search.py", "import matplotlib.pyplot as plt", "matplotlib belongs to"),
        ("rlquant/testing/toy_problem.py", "import pytest", "pytest belongs to"),
        (
            "rlquant/evaluation/log.py",
            "from torch.utils import tensorboard",
            "torch.utils.tensorboard belongs to",
        ),
        ("scripts/a.py", "def f():\n    import optuna", "scripts/a.py:2 imports optuna"),
        (
            "rlquant/score.py",
            "from importlib import import_module\nimport_module('rlquant.problem.live')",
            "score stands above problem",
        ),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, source: str, words: str) -> None:
    (line,) = violations(plant(tmp_path, {path: source}))
    assert path in line
    assert words in line


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rlquant/config.py", "from rlquant.errors import ChoiceError"),
        ("rlquant/quantizers/a.py", "from rlquant.quantizers.b import x"),
        ("rlquant/tabular/a.py", "from rlquant.problem.live import Problem"),
        ("rlquant/__init__.py", "from rlquant.export.rlq.packed import save"),
        ("rlquant/tasks/digits.py", "import pooch\nfrom rlquant.training import loop"),
        ("envs/rlquant_envs/layerwise.py", "import gymnasium\nimport rlquant"),
        ("agents/rlquant_agents/searchers/ppo/a.py", "import sb3_contrib"),
        (
            "agents/rlquant_agents/search/callbacks.py",
            "from stable_baselines3.common import callbacks",
        ),
        ("agents/rlquant_agents/searchers/optuna/search.py", "import optuna"),
        ("agents/rlquant_agents/reporting/figures.py", "import matplotlib.pyplot"),
        ("agents/rlquant_agents/events.py", "from torch.utils.tensorboard import SummaryWriter"),
        ("rlquant/layers.py", "import optunafoo, torch"),
        ("scripts/search.py", "import rlquant_agents, rlquant_envs, rlquant"),
    ],
)
def test_an_allowed_import_passes(tmp_path: Path, path: str, source: str) -> None:
    assert violations(plant(tmp_path, {path: source})) == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    folder = "agents/rlquant_agents"
    plant(
        tmp_path,
        {
            f"{folder}/__init__.py": "from rlquant_agents.api import search",
            f"{folder}/api.py": "from rlquant_agents import searcher",
            f"{folder}/searcher.py": "",
        },
    )
    assert circle(tmp_path) == []
    plant(tmp_path, {f"{folder}/searcher.py": "def f():\n    import rlquant_agents.api"})
    assert {"rlquant_agents.api", "rlquant_agents.searcher"} <= set(circle(tmp_path))
