"""Files that are damaged or made by strangers: refused, or read as files that are valid."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rlquant.cost.file_layout import FILE_VERSION, MAGIC, PROLOGUE
from rlquant_experiments.faults.campaign import Fault, Trial, fault_of
from rlquant_experiments.faults.formats import FORMATS, Format, copy_files
from rlquant_experiments.faults.mutations import (
    Mutation,
    mutate_bytes,
    mutate_csv,
    mutate_database,
    mutate_gzip,
    mutate_json,
    mutate_safetensors,
    mutate_zip,
    replace_whole,
)
from rlquant_experiments.faults.toys import files_of
from rlquant_experiments.faults.watch import harmless


def mutate_packed(data: bytes, draw: random.Random) -> bytes:
    """Damage contents or body of a packed network, lengths and checksum made right again."""
    start = PROLOGUE.size + PROLOGUE.unpack(data[: PROLOGUE.size])[2]
    contents, body = data[PROLOGUE.size : start], data[start:]
    if draw.random() < 0.6:
        contents = mutate_bytes(contents, draw)
    else:
        body = mutate_bytes(body, draw)
    head = PROLOGUE.pack(MAGIC, FILE_VERSION, len(contents), len(body), b"")[:-16]
    checksum = hashlib.blake2b(head + contents + body, digest_size=16).digest()
    return head + checksum + contents + body


INSIDE: Mapping[str, Mutation] = {
    ".rlq": mutate_packed,
    ".rlt": mutate_zip,
    ".json": mutate_json,
    ".csv": mutate_csv,
    ".gz": mutate_gzip,
    ".safetensors": mutate_safetensors,
}
"""By a file's ending, damage that its outer form does not show."""
OUTSIDE: tuple[Mutation, ...] = (mutate_bytes, mutate_bytes, mutate_bytes, replace_whole)


@dataclass(frozen=True, slots=True)
class DamagedFiles:
    """Damages one file of a format, then reads."""

    formats: tuple[Format, ...] = FORMATS
    name: str = "damaged-files"
    promise: str = (
        "a file that is damaged or from a stranger is refused by an RlquantError of at most 500 "
        "characters, or read as one that is valid; in less than 2 s of CPU time (30 s where a "
        "search or a training goes on) and 1 GiB; nothing in it is run, and nothing written"
    )
    share: float = 4.0
    limit: float = 90.0

    def trial(self, seed: int) -> Trial:
        """Return the damage that a seed decides."""
        draw = random.Random(seed)
        (form,) = draw.choices(self.formats, [form.share for form in self.formats])
        return Trial(form.name, seed, partial(_try, form, draw))


def _try(form: Format, draw: random.Random, folder: Path) -> Fault:
    copy_files(_valid(form), folder)
    chosen = draw.choice([p for p in files_of(folder) if not p.name.endswith(form.skip or "?")])
    before = chosen.read_bytes()
    way = _damage(chosen, draw)
    if chosen.is_file() and chosen.read_bytes() == before:
        return None
    try:
        with harmless(folder, cpu_seconds=form.cpu_seconds):
            form.read(folder)
    except Exception as error:  # what may come out is for `fault_of` to say
        fault = fault_of(error)
        return None if fault is None else f"{form.name}, {chosen.name} ({way}): {fault}"
    return None


def _damage(path: Path, draw: random.Random) -> str:
    """Damage a file in one way, and say in which."""
    if draw.random() < 0.03:
        path.unlink()
        if draw.random() < 0.5:
            path.mkdir()
            return "a folder in its place"
        return "missing"
    data = path.read_bytes()
    if data.startswith(b"SQLite") and draw.random() < 0.6:
        mutate_database(path, draw)
        return "altered by SQL"
    inside = INSIDE.get(path.suffix)
    change = inside if inside and draw.random() < 0.7 else draw.choice(OUTSIDE)
    path.write_bytes(change(data, draw))
    return getattr(change, "__name__", "altered")


@cache
def _valid(form: Format) -> Path:
    """Return a folder with valid files, made once a process, which the reader does read."""
    made = Path(tempfile.mkdtemp(prefix="valid-", dir=_scratch()))
    form.write(made)
    with tempfile.TemporaryDirectory(dir=_scratch()) as copied:
        copy_files(made, Path(copied))
        form.read(Path(copied))  # loads what a first call loads
    return made


@cache
def _scratch() -> Path:
    """Return a folder of this process beside those of its trials, which the campaign removes."""
    return Path(tempfile.mkdtemp(prefix="scratch-", dir=Path.cwd().parent))
