"""A searcher with settings under a label, and the file of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant.errors import FileFormatError, SettingsError, StorageError, UnknownNameError
from rlquant_experiments.comparison.variants import Variant, read_variants


def written(folder: Path, text: str) -> Path:
    path = folder / "variants.json"
    path.write_text(text)
    return path


def test_a_file_of_variants_is_read_in_its_order(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"wide": {"searcher": "masked-ppo", "settings": {"hidden": 128}}, "ppo-2": {"searcher": '
        '"ppo"}, "sizes": {"searcher": "ppo", "settings": {"sizes": [1, [2, 3]]}}}',
    )
    assert read_variants(path) == (
        Variant("wide", "masked-ppo", {"hidden": 128}),
        Variant("ppo-2", "ppo", {}),
        Variant("sizes", "ppo", {"sizes": (1, (2, 3))}),
    )


def test_it_makes_its_searcher() -> None:
    made = Variant("wide", "masked-ppo", {"hidden": 128}).make()
    assert (made.name, made.hidden) == ("masked-ppo", 128)  # type: ignore[attr-defined]
    assert [Variant.plain(name).runs_once for name in ("uniform", "tpe")] == [True, False]
    with pytest.raises(UnknownNameError, match="unknown searcher 'pp'"):
        Variant("wide", "pp").make()
    with pytest.raises(SettingsError, match="has no setting 'width'"):
        Variant("wide", "ppo", {"width": 1}).make()


@pytest.mark.parametrize("label", ["", "a/b", "-a", ".a", "a b", "../a"])
def test_a_label_is_part_of_a_file_name(label: str) -> None:
    with pytest.raises(SettingsError, match="becomes part of a file name"):
        Variant(label, "tpe")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON", r"variants\.json: no variants \(it is not JSON"),
        ("[1]", r"no variants \(it is \[1\], use an object\); write"),
        ('{"a": "tpe"}', r"\(a is 'tpe', use an object\); write"),
        ('{"a": {}}', "a.searcher is missing"),
        ('{"a": {"searcher": 3}}', "a.searcher is 3, use text"),
        ('{"a": {"searcher": "tpe", "setting": {}}}', "a.setting is unknown"),
        (
            '{"a": {"searcher": "tpe", "settings": [3]}}',
            r"a.settings is \[3\], use an object",
        ),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        read_variants(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.json: cannot be read"):
        read_variants(tmp_path / "none.json")
