"""What is shipped: three packages under names of ours, usable beside a stranger's `envs`."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
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
        "import envs, rlquant, rlquant_envs, rlquant_agents as agents\n"
        "print(envs.OWNER)\n"
        "print(envs.__file__, rlquant.__file__, rlquant_envs.__file__, agents.__file__, sep='\\n')"
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
