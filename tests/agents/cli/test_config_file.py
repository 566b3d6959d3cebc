"""Settings from a YAML file: as flags give them, and one clear error for what is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from rlquant.errors import FileFormatError, SettingsError, StorageError
from rlquant_agents.cli.command_line import parse
from rlquant_agents.cli.config_file import MAY_STAND_FIRST, CommandSettings, split_config


@dataclass(frozen=True, kw_only=True)
class Settings(CommandSettings):
    """Some settings.

    Attributes:
        run: a folder.
        bits: options.
        limit: a number.
        kind: one of two.
        latency_table: a file.
    """

    run: Annotated[Path, tyro.conf.Positional]
    bits: tuple[int, ...] | None = None
    limit: float = 3.0
    kind: Literal["one", "two"] = "one"
    latency_table: Path | None = None


def written(folder: Path, text: str) -> str:
    file = folder / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "run: mine\nbits: [2, 4]\nlimit: 1e-5\nlatency-table: table.csv\n")
    assert parse(Settings, ["--config", file, "--bits", "3"]) == Settings(
        config=Path(file), run=Path("mine"), bits=(3,), limit=1e-5, latency_table=Path("table.csv")
    )
    assert parse(Settings, ["other", f"--config={file}"]).run == Path("other")


def test_what_has_to_be_given_may_stand_in_either(tmp_path: Path) -> None:
    file = written(tmp_path, "limit: 2\n")
    assert parse(Settings, ["mine", "--config", file]).limit == 2.0
    with pytest.raises(SettingsError, match="Missing"):
        parse(Settings, ["--config", file])
    assert parse(Settings, ["mine", "--config", written(tmp_path, "# nothing\n")]).limit == 3.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limt: 2", "run.yaml: limt is unknown; did you mean 'limit'? known: "),
        ("limit: much", "limit is 'much', use a number"),
        ("bits: 2", "bits is 2, use a list"),
        ("kind: three", "kind is 'three', use one of 'one', 'two'"),
        ("config: other.yaml", "a file cannot name another"),
        ("latency-table: a\nlatency_table: b", "latency_table is there twice"),
        ("- limit", "use an object"),
        ("limit: [", "it is not YAML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FileFormatError) as raised:
        parse(Settings, ["mine", "--config", written(tmp_path, text)])
    assert words in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.yaml: cannot be read"):
        parse(Settings, ["mine", "--config", str(tmp_path / "none.yaml")])


def test_one_file_at_most() -> None:
    assert split_config(["a", "--config", "b", "--c"]) == (Path("b"), ["a", "--c"])
    with pytest.raises(SettingsError, match="2 times"):
        split_config(["--config", "a", "--config=b"])


@dataclass(frozen=True, kw_only=True)
class Opening(CommandSettings):
    """Some settings.

    Attributes:
        own_model: may stand first.
        limit: a number.
    """

    own_model: str | None = field(default=None, metadata=MAY_STAND_FIRST)
    limit: float = 3.0


def test_a_marked_setting_may_stand_first_without_its_flag() -> None:
    assert parse(Opening, ["model.gguf", "--limit", "2"]) == Opening(
        own_model="model.gguf", limit=2
    )
    assert parse(Opening, ["--own-model", "a", "--limit", "2"]) == Opening(own_model="a", limit=2)
    assert parse(Opening, []) == Opening()
