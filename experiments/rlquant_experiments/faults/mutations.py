"""Damage to the content of files: bytes, JSON, CSV, archives and databases, decided by a generator.

A mutation gets a `random.Random` and gives content back; nothing here knows what a file means.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

CANARY = "rlquant-canary"
"""A file of this name appears where content was run as code."""
_CODE = f"__import__('os').system('touch {CANARY}')"

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 10**400),
    *(0.0, -0.5, 1e308, 1e-320, float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "nan", "x" * 70_000, "\x00", "\ud800", "../../x", "<script>1</script>"),
    *("=1+1", "[/red]", "%s%n{0}", 'a"b\\c', "class", _CODE, [], {}, [[]], [None], {"": None}),
)
"""Values of every type that JSON has, and text that some reader might take for code."""

_RAW = "@raw@"
ODD_TEXTS = ("1e999", "-1e999", "NaN", "9" * 5000, "[" * 100_000, '{"a":' * 100_000, "1.", "'x'")
"""What a serializer would not write: put in as it is."""

_CELLS = (
    *("", "0", "-1", "nan", "inf", "1e999", "9" * 400, "x" * 200_000, "\x00", '"', "'", ",,,,"),
    *("=1+1", "[/x]", "\n", "16x8x3x3", "1.5", "\ufeff", _CODE),
)


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Alter, cut, repeat, exchange or replace some bytes, one to three times."""
    altered = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        place = draw.randrange(len(altered) + 1)
        size = min(draw.choice((1, 1, 2, 4, 8, 64, 1024)), len(altered) - place)
        match draw.randrange(9):
            case 0 if size:
                altered[place] ^= 1 << draw.randrange(8)
            case 1:
                altered[place : place + size] = draw.randbytes(size)
            case 2:
                del altered[place : place + size]
            case 3:
                altered[place:place] = draw.randbytes(draw.randrange(1, 64))
            case 4:
                del altered[place:]
            case 5:  # a stretch from elsewhere in the file
                start = draw.randrange(len(altered) + 1)
                altered[place : place + size] = altered[start : start + size]
            case 6:
                altered[place : place + size] = (
                    bytes([draw.choice((0, 1, 0x7F, 0x80, 0xFF))]) * size
                )
            case 7:
                altered[place:place] = altered[place : place + size] * draw.choice((2, 1000))
            case _:
                number = draw.choice((0, 1, -1, 2**31 - 1, 2**63 - 1, -(2**63)))
                altered[place : place + 8] = struct.pack("<q", number)
    return bytes(altered)


def replace_whole(data: bytes, draw: random.Random) -> bytes:
    """Put something else in place of a file's content."""
    return draw.choice(
        (
            b"",
            b"\n",
            b"PK\x03\x04" + bytes(100),
            b"\x80\x04\x95" + draw.randbytes(40),
            f"cos\nsystem\n(S'touch {CANARY}'\ntR.".encode(),  # a pickle that runs a command
            _CODE.encode(),
            b"SQLite format 3\x00" + bytes(200),
            b"[" * 200_000,
            b'{"a":' * 200_000,
            b"\xff\xfe" + data[:1000],
            draw.randbytes(500),
            data * 3,
        )
    )


def mutate_json(data: bytes, draw: random.Random) -> bytes:
    """Change values, types, names and nesting of a JSON document, one to three times."""
    document = {"": json.loads(data)}
    raw = ""
    for _ in range(draw.choice((1, 1, 2, 3))):
        owner, key = draw.choice(list(_places(document)))
        match draw.randrange(8):
            case 0 | 1 | 2:
                owner[key] = draw.choice(ODD_VALUES)
            case 3:
                raw = draw.choice(ODD_TEXTS)
                owner[key] = _RAW
            case 4:
                other_owner, other_key = draw.choice(list(_places(document)))
                owner[key] = json.loads(json.dumps(other_owner[other_key]))
            case 5 if owner is not document:
                del owner[key]
            case 6 if isinstance(owner, dict) and owner is not document:
                owner[draw.choice(("", "unknown", "version", "a" * 9000))] = owner.pop(key)
            case _:
                owner[key] = [owner[key]] if draw.random() < 0.5 else _neighbour(owner[key], draw)
    text = json.dumps(document[""])
    return text.replace(json.dumps(_RAW), raw).encode("utf-8", "surrogatepass")


def _places(document: Any) -> Any:
    """Yield every value of a document as its owner and its key there."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _neighbour(value: Any, draw: random.Random) -> Any:
    """Return a value of the same type, or the same value as another type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return draw.choice((value + 1, -value, value * 3, str(value), value * 10**15))
        case str():
            return draw.choice((value + "x", value.upper(), value[:-1], value.encode().hex()))
        case _:
            return draw.choice((None, 0, json.dumps(value)))


def mutate_csv(data: bytes, draw: random.Random) -> bytes:
    """Change cells, rows and columns of a CSV, one to three times."""
    lines = data.decode().splitlines()
    for _ in range(draw.choice((1, 1, 2, 3))):
        row = draw.randrange(len(lines)) if draw.random() < 0.8 else 0
        cells = lines[row].split(",")
        column = draw.randrange(len(cells))
        match draw.randrange(6):
            case 0 | 1:
                cells[column] = draw.choice(_CELLS)
            case 2:
                other = draw.choice(lines).split(",")
                cells[column] = other[column % len(other)]
            case 3:
                del cells[column]
            case 4:
                cells += ["1"] * draw.choice((1, 1000))
            case _:
                lines.insert(draw.randrange(len(lines) + 1), lines[row])
        lines[row] = ",".join(cells)
    return ("\n".join(lines) + draw.choice(("\n", "", "\n\n"))).encode("utf-8", "surrogatepass")


def mutate_gzip(data: bytes, draw: random.Random) -> bytes:
    """Damage what a gzip file unpacks to, or make it unpack to far more."""
    if draw.random() < 0.1:
        return gzip.compress(gzip.decompress(data)[:16] + bytes(2**28), 1)
    return gzip.compress(mutate_bytes(gzip.decompress(data), draw), 1, mtime=0)


def mutate_zip(data: bytes, draw: random.Random) -> bytes:
    """Damage one member of a zip, its checksum made right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = draw.choice(list(members))
    change = mutate_json if name.endswith(".json") and draw.random() < 0.8 else mutate_bytes
    members[name] = change(members[name], draw)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
            if draw.random() < 0.02:
                archive.writestr("more", content)
    return stream.getvalue()


def mutate_safetensors(data: bytes, draw: random.Random) -> bytes:
    """Damage the header or the numbers of a safetensors file, its lengths made right again."""
    size = struct.unpack("<Q", data[:8])[0]
    header, body = data[8 : 8 + size], data[8 + size :]
    match draw.randrange(4):
        case 0:
            header = mutate_json(header, draw)
        case 1:  # numbers that no trained weight is
            place = draw.randrange(max(len(body) // 4, 1)) * 4
            number = draw.choice((float("nan"), float("inf"), 1e38, -1.0))
            body = body[:place] + struct.pack("<f", number) + body[place + 4 :]
        case 2:
            names = json.loads(header)
            tensors = [name for name in names if name != "__metadata__"]
            if len(tensors) > 1:
                one, two = draw.sample(tensors, 2)
                names[one], names[two] = names[two], names[one]
            header = json.dumps(names).encode()
        case _:
            body = mutate_bytes(body, draw)
    return struct.pack("<Q", len(header)) + header + body


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def mutate_database(path: Path, draw: random.Random) -> None:
    """Damage an SQLite database by statements that it takes: values, types, triggers and views."""
    with closing(sqlite3.connect(path)) as database, database:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        (table,) = draw.choice(database.execute(tables).fetchall())
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = draw.choice(columns)
        value = draw.choice(
            (None, "text", "", b"\x00blob", -1, 0, 2**62, 1e300, "nan", "9" * 2000, "[" * 100_000)
        )
        match draw.randrange(8):
            case 0 | 1 | 2:
                _try(database, f"UPDATE OR IGNORE {table} SET {column} = ?", value)
            case 3:
                event = draw.choice(("INSERT", "UPDATE", "DELETE"))
                _try(
                    database,
                    f"CREATE TRIGGER endless BEFORE {event} ON {table} BEGIN "
                    f"SELECT ({_ENDLESS}); END",
                )
            case 4:
                _try(database, f"ALTER TABLE {table} RENAME TO moved")
                listed = ", ".join(f"NULL AS {name}" for name in columns)
                _try(database, f"CREATE VIEW {table} AS SELECT {listed} WHERE ({_ENDLESS}) > 0")
            case 5:
                _try(database, f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
            case 6:
                _try(database, f"ALTER TABLE {table} RENAME TO moved")
                _try(database, f"CREATE TABLE {table} ({', '.join(columns)})")
                _try(database, f"INSERT INTO {table} SELECT * FROM moved")
                _try(database, f"UPDATE {table} SET {column} = ?", value)
            case _:
                pragma = draw.choice(("user_version", "application_id"))
                _try(database, f"PRAGMA {pragma} = {draw.choice((0, 1, 2, 99))}")


def _try(database: sqlite3.Connection, statement: str, *values: Any) -> None:
    """Run a statement; what a constraint forbids stays as it was."""
    try:
        database.execute(statement, values)
    except sqlite3.Error:
        return
