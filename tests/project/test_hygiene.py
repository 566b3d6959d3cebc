"""House rules that a linter does not hold: clean imports, safe files, no addresses, honest pins."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LIBRARY = ("rlquant", "envs", "agents")
PACKAGES = ("rlquant", "rlquant_envs", "rlquant_agents")
HEAVY = (
    "stable_baselines3",
    "sb3_contrib",
    "optuna",
    "matplotlib",
    "sklearn",
    "pooch",
    "loky",
    "distributed",
    "sqlalchemy",
    "psycopg",
)

UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# What these read with pickle they have written themselves, moments before.
PICKLED_BY_ITSELF = {
    "rlquant/executors/parcel.py": ["pickle", "cloudpickle"],
    "rlquant/testing/conformance/problems.py": ["pickle"],
}
# What this reads is held to its hash, and PyTorch's reader takes nothing but tensors there.
TENSORS_ALONE = ("rlquant/tasks/pretrained/efficientnet_lite.py",)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
HOST = re.compile(r"\w+://([\w.-]+)")
ALLOWED_HOSTS = {"LICENSE": {"www.apache.org"}}
PIN = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*")


def library_files() -> list[Path]:
    return sorted(path for folder in LIBRARY for path in (ROOT / folder).rglob("*.py"))


def unclean(source: str) -> Iterator[str]:
    """Yield what library code must not contain, with its line."""
    for number, line in enumerate(source.splitlines(), start=1):
        if UNFINISHED.search(line):
            yield f"{number}: unfinished"
    for node in ast.walk(ast.parse(source)):
        for word in forbidden(node):
            yield f"{node.lineno}: {word}"  # type: ignore[attr-defined]


def forbidden(node: ast.AST) -> list[str]:
    """Return the forbidden things that this very node is: printing and unsafe loading."""
    match node:
        case ast.Call(func=ast.Name(id="print")):
            return ["print"]
        case ast.Import(names=names):
            return [a.name for a in names if a.name.partition(".")[0] in UNSAFE_MODULES]
        case ast.ImportFrom(module=str(source), names=names):
            if source.partition(".")[0] in UNSAFE_MODULES:
                return [source]
            return ["torch.load" for a in names if source == "torch" and a.name == "load"]
        case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
            return ["torch.load"]
        case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
            return ["allow_pickle"]
    return []


def foreign_hosts(path: Path, text: str) -> list[str]:
    allowed = ALLOWED_HOSTS.get(path.name, set())
    found = [host for host in HOST.findall(text) if host not in allowed]
    return [host for host in found if not host.isupper()]  # USER and HOST stand for others


def addressed_files() -> list[Path]:
    """Every text that must name no host: all but the data addresses in rlquant/tasks and tests."""
    named = ("LICENSE", "Makefile", "constraints.txt", "pyproject.toml", ".ci/run")
    found = [ROOT / name for name in named]
    found += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.py")]
    found += [*(ROOT / "scripts").rglob("*.py"), *library_files()]
    return [path for path in found if not path.is_relative_to(ROOT / "rlquant" / "tasks")]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    split = (line.split("==") for line in lines)
    return {canonicalize_name(name): version for name, version in split}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def test_library_code_is_clean() -> None:
    assert library_files()
    faults = {
        path.relative_to(ROOT).as_posix(): found
        for path in library_files()
        if (found := list(unclean(path.read_text(encoding="utf-8"))))
    }
    for path, modules in PICKLED_BY_ITSELF.items():
        assert [fault.partition(": ")[2] for fault in faults.pop(path)] == modules
    for path in TENSORS_ALONE:
        assert [fault.partition(": ")[2] for fault in faults.pop(path)] == ["torch.load"]
        assert "weights_only=True" in (ROOT / path).read_text(encoding="utf-8")
    assert faults == {}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("x = 1\nprint(x)", "2: print"),
        ("import pickle", "1: pickle"),
        ("from cloudpickle import dumps", "1: cloudpickle"),
        ("import torch\ntorch.load('x')", "2: torch.load"),
        ("from torch import load", "1: torch.load"),
        ("import numpy\nnumpy.load('x', allow_pickle=True)", "2: allow_pickle"),
        ("x = 1  # TODO", "1: unfinished"),
    ],
)
def test_planted_dirt_is_found(source: str, fault: str) -> None:
    assert list(unclean(source)) == [fault]


def test_clean_code_passes() -> None:
    source = "import torch\nfrom torch import nn\ntorch.save\nx.load('y')\nprinted = 'print(1)'"
    assert list(unclean(source)) == []


def test_imports_are_light_and_silent_and_those_that_follow_take_no_public_name(
    tmp_path: Path,
) -> None:
    # Loaded modules go to a file, so that standard output holds only what the imports wrote.
    # A folder has the name of a function in rlquant_agents: whichever is bound last is seen.
    report = tmp_path / "modules"
    packages = ", ".join(PACKAGES)
    code = (
        f"import sys, {packages}; open({str(report)!r}, 'w').write('\\n'.join(sys.modules))\n"
        "import pkgutil\n"
        "from importlib import import_module\n"
        "for package in (rlquant, rlquant_envs, rlquant_agents):\n"
        "    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}\n"
        "    for name in modules & set(package.__all__):\n"
        "        before = getattr(package, name)\n"
        "        import_module(f'{package.__name__}.{name}')\n"
        "        assert getattr(package, name) is before, name\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (ran.stdout, ran.stderr) == ("", "")
    assert set(HEAVY) & set(report.read_text().splitlines()) == set()


def test_no_file_names_a_host() -> None:
    faults = {
        path.relative_to(ROOT).as_posix(): found
        for path in addressed_files()
        if (found := foreign_hosts(path, path.read_text(encoding="utf-8")))
    }
    assert faults == {}


def test_a_planted_host_is_found() -> None:
    assert foreign_hosts(Path("README.md"), "see https://example.org/x") == ["example.org"]
    assert foreign_hosts(Path("README.md"), "http://www.apache.org/x") == ["www.apache.org"]
    assert foreign_hosts(Path("LICENSE"), "http://www.apache.org/licenses/") == []
    assert foreign_hosts(Path("README.md"), "sqlite:///runs/store.db") == []
    assert foreign_hosts(Path("README.md"), "postgresql://USER@HOST/DATABASE") == []


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_has_a_pin_within_its_range(requirement: Requirement) -> None:
    version = pins().get(canonicalize_name(requirement.name))
    assert version is not None, f"no pin for {requirement.name}: run `make constraints`"
    assert requirement.specifier.contains(version)


def test_tests_are_not_packages() -> None:
    # Import mode importlib needs none, and one would let tests import each other by path.
    assert list((ROOT / "tests").rglob("__init__.py")) == []
