"""What is shipped: three packages under names of ours, usable beside a stranger's `envs`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "rlquant": ROOT / "rlquant",
    "rlquant_envs": ROOT / "envs" / "rlquant_envs",
    "rlquant_agents": ROOT / "agents" / "rlquant_agents",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the installed hatchling: no network, no isolated environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in names(wheel)}
    (metadata,) = (name for name in top if name.endswith(".dist-info"))
    assert top - {metadata} == set(SOURCES)
    assert f"{metadata}/licenses/LICENSE" in names(wheel)


def test_every_package_is_typed(wheel: Path) -> None:
    assert {f"{package}/py.typed" for package in SOURCES} <= set(names(wheel))


def test_no_module_is_left_out(wheel: Path) -> None:
    # An ignore pattern such as `build/` would drop a module folder of that name without a word.
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in SOURCES.items()
        for path in folder.rglob("*.py")
    }
    assert {name for name in names(wheel) if name.endswith(".py")} == expected


def test_the_tables_come_with_it(wheel: Path) -> None:
    folder = ROOT / "rlquant" / "tabular" / "data"
    expected = {f"rlquant/tabular/data/{path.name}" for path in folder.glob("*.rlt")}
    assert {name for name in names(wheel) if name.endswith(".rlt")} == expected


def test_the_pretrained_weights_come_with_it(wheel: Path) -> None:
    expected = {"rlquant_agents/searchers/dyna_ppo/pretrained.safetensors"}
    assert {name for name in names(wheel) if name.endswith(".safetensors")} == expected


def test_the_wheel_works_beside_a_foreign_envs_package(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("OWNER = 'the user'\n", encoding="utf-8")
    code = (
        "import envs\n"
        "from importlib.util import find_spec\n"
        "print(envs.OWNER)\n"
        "for name in ('envs', 'rlquant', 'rlquant_envs', 'rlquant_agents'):\n"
        "    print(find_spec(name).origin)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    owner, *files = ran.stdout.splitlines()
    assert owner == "the user"
    expected = [tmp_path / package / "__init__.py" for package in ("envs", *SOURCES)]
    assert [Path(file) for file in files] == expected


def test_the_wheel_holds_the_template_of_reports(wheel: Path) -> None:
    assert "rlquant_agents/reporting/page.html.jinja" in names(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an environment of its own, with this one's dependencies.

    They come after what is installed there; packages that are installed editable are left out.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    bin_, (library,) = folder / "bin", folder.glob("lib/python3*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "install", "--quiet"]
    quick = ["--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, *quick, str(wheel)], check=True, timeout=300)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (library / "dependencies.pth").write_text("\n".join(dependencies))
    return bin_


def run_there(bin_: Path, folder: Path, *words: str) -> str:
    """Run a program of an environment in another folder, and return what it writes."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PATH"] = f"{bin_}{os.pathsep}{environment['PATH']}"
    ran = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_installed_wheel_is_a_working_tool(installed: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        return run_there(installed, tmp_path, *words)

    where = run("python", "-c", "import rlquant; print(rlquant.__version__, rlquant.__file__)")
    found, file = where.split()
    assert found == version("rlquant")
    assert Path(file).is_relative_to(installed.parent)
    assert run("rlquant", "--version") == f"rlquant {found}\n"

    given = ("--task", "digits/mlp", "--searcher", "random", "--evaluations", "3", "--no-progress")
    said = run("rlquant", "search", *given, "--baselines", "uniform", "--out", "runs/mine")
    assert (tmp_path / "runs/mine/model.rlq").stat().st_size > 1000
    (proposed,) = (line for line in said.splitlines() if " eval " in line)
    assert proposed == "  rlquant eval runs/mine"
    assert run("sh", "-c", proposed).count("equals the stored score") == 2
    assert (tmp_path / "runs/mine/report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_wheel_brings_its_dependencies(wheel: Path, tmp_path: Path) -> None:
    # An empty environment: pip downloads about 1 GB.
    venv.create(tmp_path / "empty", with_pip=True)
    bin_ = tmp_path / "empty" / "bin"
    install = [str(bin_ / "python"), "-m", "pip", "install", "--quiet", str(wheel)]
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*install, *pins], check=True, timeout=1800)
    given = ("--task", "digits/mlp", "--evaluations", "3", "--no-progress", "--baselines")
    assert "all evaluations" in run_there(bin_, tmp_path, "rlquant", "search", *given)
