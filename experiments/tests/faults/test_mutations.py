"""Damage to files: decided by the generator alone, and really damage."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from rlquant_experiments.faults import mutations
from rlquant_experiments.faults.formats import FORMATS
from rlquant_experiments.faults.mutations import Mutation

DOCUMENT = json.dumps({"version": 1, "layers": [{"bits": 2}, {"bits": 0.5}], "name": "x"}).encode()
TABLE = b"kind,shape,seconds\nlinear,8x6,0.5\nlinear,8x8,1e-6\n"


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("table.json", DOCUMENT)
        archive.writestr("losses.npy", bytes(range(200)))
    return stream.getvalue()


def tensors() -> bytes:
    return save({"a": np.ones(4, np.float32), "b": np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize(
    ("mutate", "data"),
    [
        (mutations.mutate_bytes, bytes(range(250))),
        (mutations.replace_whole, DOCUMENT),
        (mutations.mutate_json, DOCUMENT),
        (mutations.mutate_csv, TABLE),
        (mutations.mutate_zip, zipped()),
        (mutations.mutate_safetensors, tensors()),
    ],
    ids=lambda value: getattr(value, "__name__", "data"),
)
def test_a_seed_decides_the_damage_and_nearly_all_of_it_shows(
    mutate: Mutation, data: bytes
) -> None:
    changed = 0
    for seed in range(150):
        damaged = mutate(data, random.Random(seed))
        changed += damaged != data
    assert mutate(data, random.Random(7)) == mutate(data, random.Random(7))
    assert changed > 120


def test_what_a_gzip_file_unpacks_to_is_damaged_or_far_more() -> None:
    data = gzip.compress(bytes(range(200)), mtime=0)
    inside = [
        gzip.decompress(mutations.mutate_gzip(data, random.Random(seed)))[:300]
        for seed in range(12)
    ]
    assert any(content != bytes(range(200)) for content in inside)
    assert mutations.mutate_gzip(data, random.Random(1)) == mutations.mutate_gzip(
        data, random.Random(1)
    )


def test_a_database_is_altered_by_statements(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE evaluations (key TEXT PRIMARY KEY, loss REAL NOT NULL)")
        database.execute("INSERT INTO evaluations VALUES ('a', 0.5)")

    def schema_and_rows(seed: int) -> str:
        copy = tmp_path / f"{seed}.sqlite"
        shutil.copy(path, copy)
        mutations.mutate_database(copy, random.Random(seed))
        with closing(sqlite3.connect(copy)) as database:
            return "\n".join(database.iterdump()) if seed % 3 else copy.read_bytes().hex()

    assert len({schema_and_rows(seed) for seed in range(1, 40) if seed % 3}) > 5


def test_every_format_has_a_name_of_its_own() -> None:
    assert len({form.name for form in FORMATS}) == len(FORMATS)
