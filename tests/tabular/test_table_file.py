"""The file of a table: the same bytes, lazy, small, and safe to read from strangers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlquant import Budget, Table, TabularProblem
from rlquant.errors import FileFormatError, StorageError
from rlquant.tabular import table_file
from rlquant.tabular.table_file import CORRECT, HEADER, LOSSES, read_table, write_table
from rlquant.tabular.table_header import write_header
from rlquant.testing import random_table
from rlquant.testing.toy_problem import MIXED, ToyProblem
from strategies import altered
from tables import enumerated, live_table

TABLES: dict[str, Callable[[], Table]] = {
    "live": live_table,
    "random": lambda: random_table(3, 4),
    "mixed": lambda: enumerated(ToyProblem(2, 40.0, MIXED), name="größer, ünïcode"),
    "one": lambda: enumerated(ToyProblem(1, 40.0)),
    "broken": lambda: enumerated(ToyProblem(2, 40.0, loss_of=lambda config: float("nan"))),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("table") / "small.rlt"
    write_table(random_table(3, 4), path)
    return path.read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return stream.getvalue()


def saved(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "strange.rlt"
    path.write_bytes(data)
    return path


def as_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


# --- what is written is read


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_read_is_the_table_written(kind: str, tmp_path: Path) -> None:
    table = TABLES[kind]()
    size = write_table(table, tmp_path / "a.rlt")
    assert size == (tmp_path / "a.rlt").stat().st_size
    again = read_table(tmp_path / "a.rlt")
    assert np.array_equal(again.measured.losses, table.measured.losses)
    assert np.array_equal(again.measured.correct, table.measured.correct)
    assert again.measured.correct.dtype == table.measured.correct.dtype
    assert write_header(again) == write_header(table)
    for name in ("facts", "groups", "space", "fidelity", "seed", "samples", "name", "command"):
        assert getattr(again, name) == getattr(table, name)
    loose = Budget.average_bits(100.0)
    assert again.float_score == table.float_score
    before, after = TabularProblem(table, loose), TabularProblem(again, loose)
    last = before.feasible.config([len(table.options) - 1] * len(table.facts))
    assert after.evaluate(last) == before.evaluate(last)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_table(random_table(3, 5), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_table(read_table(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_more_than_65535_samples_take_more_bytes(tmp_path: Path) -> None:
    problem = ToyProblem(1, 40.0)
    score = problem._score

    def many(*given: Any) -> Any:
        return replace(score(*given), samples=100_000)

    problem._score = many  # type: ignore[method-assign]
    table = enumerated(problem)
    write_table(table, tmp_path / "a")
    again = read_table(tmp_path / "a")
    assert again.measured.correct.dtype == np.uint32
    assert again.measured.correct.tolist() == table.measured.correct.tolist()


def test_a_configuration_takes_a_few_bytes(tmp_path: Path) -> None:
    table = random_table(6, 6)
    assert write_table(table, tmp_path / "a.rlt") <= 4 * table.count


def test_values_are_unpacked_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(random_table(3, 4), tmp_path / "a.rlt")
    asked: list[str] = []
    real = table_file._array

    def noted(data: bytes, name: str, *rest: Any) -> Any:
        asked.append(name)
        return real(data, name, *rest)

    monkeypatch.setattr(table_file, "_array", noted)
    table = read_table(tmp_path / "a.rlt")
    problem = TabularProblem(table, Budget.average_bits(4.0))
    assert problem.feasible.count() > 1
    assert asked == []
    for _ in range(2):
        problem.evaluate_indices([0, 1, 2])
    assert asked == [LOSSES, CORRECT]


# --- what is damaged


fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(data=st.data())
def test_damage_is_one_clear_error_or_changes_nothing(
    data: st.DataObject, written: bytes, tmp_path: Path
) -> None:
    altered = bytearray(written)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(len(altered) - 1, 0)))
        match data.draw(st.sampled_from(("alter", "cut", "put in", "truncate"))):
            case "alter":
                altered[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
            case "cut":
                del altered[place : place + data.draw(st.integers(1, 9))]
            case "put in":
                altered[place:place] = data.draw(st.binary(min_size=1, max_size=9))
            case _:
                del altered[place:]
    path = saved(tmp_path, bytes(altered))
    said = None
    try:
        losses = read_table(path).measured.losses
    except FileFormatError as error:
        said = str(error)
    if said is None:  # what a zip does not look at, such as dates
        assert np.array_equal(losses, random_table(3, 4).measured.losses)
    else:
        assert said.startswith(f"{path}: ")


@pytest.mark.parametrize("name", [HEADER, LOSSES, CORRECT])
def test_an_altered_byte_of_the_contents_is_found(
    name: str, written: bytes, tmp_path: Path
) -> None:
    plain = bytearray(packed(members(written), zipfile.ZIP_STORED))
    place = bytes(plain).index(members(written)[name]) + len(members(written)[name]) - 20
    plain[place] ^= 1
    with pytest.raises(FileFormatError, match=r"strange\.rlt: no table .*Bad CRC-32 for file '"):
        _ = read_table(saved(tmp_path, bytes(plain))).measured


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut short or altered"),
        (b"RLQ1 something else", "cut short or altered"),
        (packed({"a.txt": b"hello"}), r"a zip, but not one of table\.json, losses\.npy"),
    ],
)
def test_a_foreign_file_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=words):
        read_table(saved(tmp_path, data))


def test_a_file_cut_short_is_refused(written: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cut short or altered"):
        read_table(saved(tmp_path, written[: len(written) // 2]))


def test_another_way_of_packing_is_refused(written: bytes, tmp_path: Path) -> None:
    data = packed(members(written), zipfile.ZIP_BZIP2)
    with pytest.raises(FileFormatError, match="a zip, but not one of"):
        read_table(saved(tmp_path, data))


def test_a_broken_stream_is_refused(written: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        start = archive.getinfo(LOSSES).header_offset + 30 + len(LOSSES)
    altered = bytearray(written)
    altered[start : start + 8] = b"\xff" * 8
    with pytest.raises(FileFormatError, match=r"strange\.rlt: damaged: Error -3"):
        _ = read_table(saved(tmp_path, bytes(altered))).measured


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nothing\.rlt: cannot be read: No such file"):
        read_table(tmp_path / "nothing.rlt")
    with pytest.raises(StorageError, match="cannot be written"):
        write_table(random_table(1), tmp_path / "no folder" / "a.rlt")


# --- headers that nobody vouches for


def changed(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    contents = members(data)
    document = json.loads(contents[HEADER])
    change(document)
    return packed({**contents, HEADER: json.dumps(document).encode()})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe", "header is no text"),
        (b"{", "header is damaged: it is not JSON"),
        (b"[" * 100_000, "header is damaged: its lists and objects are more than 32 deep"),
        (b"[]", "header is not that of a table"),
        (b'{"format": "something"}', "header is not that of a table"),
        (
            b'{"format": "rlquant table", "version": 9}',
            "format version 9, this rlquant reads version 2; use the rlquant that wrote it",
        ),
        (b'{"format": "rlquant table", "version": 2}', "header is damaged: name is missing"),
    ],
)
def test_a_header_that_is_none_is_refused(
    text: bytes, words: str, written: bytes, tmp_path: Path
) -> None:
    data = packed({**members(written), HEADER: text})
    with pytest.raises(FileFormatError, match=words):
        read_table(saved(tmp_path, data))


def set_in(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets the last of `path` at the place that the others name."""
    *places, last, value = path

    def change(document: Any) -> None:
        for place in places:
            document = document[place]
        document[last] = value

    return change


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "name": (set_in("name", 3), "name is 3, use text"),
    "fidelity": (set_in("fidelity", "perfect"), "fidelity is 'perfect', use one of"),
    "unhashable fidelity": (set_in("fidelity", []), r"fidelity is \[\], use one of"),
    "seed": (set_in("seed", "0"), "seed is '0', use a whole number"),
    "samples": (set_in("samples", -1), "samples=-1"),
    "configurations": (set_in("configurations", 63), "says 63 configurations, .* make 64"),
    "no configurations": (lambda d: d.pop("configurations"), "configurations is missing"),
    "groups": (set_in("groups", [["group0", []]]), r"groups \['group0'\] have the facts"),
    "group twice": (set_in("groups", 1, 0, "group0"), "two groups of one name"),
    "group without a name": (set_in("groups", 1, 0, 7), r"groups\[1\]\[0\] is 7, use text"),
    "layer without a name": (
        set_in("groups", 1, 1, 0, None),
        r"\[1\]\[0\] is None, use text",
    ),
    "space": (set_in("space", "bits", [2, 99]), "bits=99"),
    "field of the space": (set_in("space", "colours", [2]), "colours"),
    "many options": (set_in("space", "bits", list(range(1, 17))), "says 64 config|costs of shape"),
    "score": (set_in("float_score", "loss", "low"), "float_score: loss is 'low', use a number"),
    "score infinite": (set_in("float_score", "loss", None), "float_score: the loss is not finite"),
    "score without": (lambda d: d["float_score"].pop("bops"), "float_score: bops is missing"),
    "bytes of the score": (
        set_in("float_score", "size_bytes", 1.5),
        "size_bytes is 1.5, use a whole",
    ),
    "costs": (set_in("costs", "bops", 0, 0, 1.5), r"bops\[0\]\[0\] is 1.5, use a whole"),
    "ragged costs": (set_in("costs", "bops", 0, [1]), "rows of different lengths"),
    "huge costs": (set_in("costs", "bops", 0, 0, 2**70), r"bops\[0\]\[0\] is 118"),
    "negative costs": (set_in("costs", "size_bytes", 0, 0, -1), "is -1, use at least 0"),
    "weights": (set_in("costs", "weights", 0), "weights=0"),
    "fixed": (set_in("costs", "fixed_bytes", None), "fixed_bytes is None, use a whole number"),
    "kind": (set_in("facts", 0, "kind", "attention"), "group 'group0' has impossible facts"),
    "shape": (set_in("facts", 0, "shape", [0, 1]), "impossible facts"),
    "axis": (set_in("facts", 0, "channel_axis", 4), "impossible facts"),
    "errors": (set_in("facts", 0, "relative_error", [0.1]), "impossible facts"),
    "parameters": (set_in("facts", 0, "parameters", 0), "impossible facts"),
    "macs": (set_in("facts", 0, "macs", -1), "impossible facts"),
    "number": (set_in("facts", 0, "std", "0.1"), "std is '0.1', use a number"),
    "bool": (set_in("facts", 0, "has_bias", 1), "has_bias is 1, use true or false"),
    "field": (set_in("facts", 0, "colour", 1), "colour"),
    "no facts": (set_in("facts", 3), "damaged"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_header_that_says_what_cannot_be_is_refused(
    fault: str, written: bytes, tmp_path: Path
) -> None:
    change, words = WRONG[fault]
    with pytest.raises(FileFormatError, match=words) as caught:
        read_table(saved(tmp_path, changed(written, change)))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (LOSSES, np.zeros((4, 63), np.uint8), r"'shape': \(4, 63\), .*, not bytes of"),
        (LOSSES, np.zeros((64, 4), np.uint8), r"'shape': \(64, 4\), .*, not bytes of"),
        (LOSSES, np.zeros((4, 64), np.int8), r"'descr': '\|i1', .*, not bytes of shape"),
        (LOSSES, np.zeros((64, 4), np.uint8).T, r"'fortran_order': True, .*, not bytes of"),
        (LOSSES, np.zeros((4, 65), np.uint8), r"'shape': \(4, 65\), .*, not bytes of"),
        (CORRECT, np.full((2, 64), 255, np.uint8), r"values are damaged: .* outside 0\.\.2000"),
        (CORRECT, np.zeros((4, 2000), np.uint8), "but the header's numbers make 128"),
        (LOSSES, np.full(64, None), "but the header's numbers make 256|not bytes of shape"),
    ],
)
def test_arrays_that_are_not_the_headers_are_refused(
    name: str, array: np.ndarray, words: str, written: bytes, tmp_path: Path
) -> None:
    data = packed({**members(written), name: as_npy(array)})
    with pytest.raises(FileFormatError, match=words):
        _ = read_table(saved(tmp_path, data)).measured


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\x93NUMPY\x02\x00",
        b"\x93NUMPY\x01\x00\x10\x00not a header",
        b"\x93NUMPY\x01\x00\xff\x0f" + b"-" * 4095,  # deep, evaluated as Python
        b"\x93NUMPY\x01\x00\xff\x0f" + b"(" * 4095,
    ],
)
def test_an_array_without_a_header_of_its_own_is_refused(
    start: bytes, written: bytes, tmp_path: Path
) -> None:
    data = packed({**members(written), LOSSES: start + bytes(300)})
    words = "its losses.npy (is no array|is .*, not bytes of shape|has 4,|holds)"
    with pytest.raises(FileFormatError, match=words):
        _ = read_table(saved(tmp_path, data)).measured


def test_no_memory_is_taken_on_a_files_word(written: bytes, tmp_path: Path) -> None:
    contents = members(written)
    huge = bytes(2**26)
    tries = [
        packed({**contents, LOSSES: huge}),
        packed({**contents, HEADER: huge}),
        changed(written, set_in("facts", [{}] * 10**5)),
        changed(written, set_in("groups", [[str(i), []] for i in range(10**4)])),
    ]
    del huge
    for data in tries:
        path = saved(tmp_path, data)
        tracemalloc.start()
        with pytest.raises(FileFormatError):
            read_table(path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 2**25


def test_a_zip_of_very_many_files_is_not_listed(written: bytes, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(1001):
            archive.writestr(str(number), b"")
    with pytest.raises(FileFormatError, match="it is a zip of more than 1000 files"):
        read_table(saved(tmp_path, stream.getvalue()))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_header_is_refused_or_makes_a_table(
    data: st.DataObject, written: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    contents = members(written)
    document = data.draw(altered(json.loads(contents[HEADER])))
    changed = packed({**contents, HEADER: json.dumps(document).encode()})
    begun = time.process_time()
    with contextlib.suppress(FileFormatError):
        table = read_table(saved(tmp_path_factory.mktemp("a"), changed))
        TabularProblem(table, Budget.average_bits(3.0))
    assert time.process_time() - begun < 2


def test_a_file_larger_than_any_table_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path, b"")
    os.truncate(path, table_file.MOST_BYTES + 1)  # sparse: takes no space
    with pytest.raises(FileFormatError, match="bytes, a file of its kind at most"):
        read_table(path)
