"""Encoders on disk, so that an interrupted command teaches none of them again: safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

from safetensors.torch import save
from torch import Tensor

from rlquant.documents import parse_json, read_as
from rlquant.documents.tensor_file import read_tensors, require_like, require_sound
from rlquant.files import make_folder, reading, write_file
from rlquant_experiments.landscapes.landscape import Landscape
from rlquant_experiments.layer_policy.encoder import LayerEncoder
from rlquant_experiments.layer_policy.features import FEATURES
from rlquant_experiments.layer_policy.folds import Ensemble, TrainingSettings, taught

KEY, FORMAT = "encoders", "rlquant layer encoders 1"


class _Header(TypedDict):
    """What encoders are of, and which there are: way, blocks and number."""

    training: dict[str, Any]
    encoders: list[list[Any]]


def taught_once(
    path: Path, landscapes: Sequence[Landscape], settings: TrainingSettings
) -> dict[str, Ensemble]:
    """Return encoders by way; taught where the file does not hold those of this very training.

    Raises:
        FileFormatError: a damaged file.
        StorageError: it cannot be read or written.
    """
    training = {
        "format": FORMAT,
        "features": list(FEATURES),
        "settings": asdict(settings),
        "landscapes": [[each.name, len(each.rows)] for each in landscapes],
    }
    if path.exists():
        found = _read(path, training, settings)
        if found is not None:
            return found
    encoders = taught(landscapes, settings)
    _write(path, training, encoders)
    return encoders


def _write(path: Path, training: dict[str, Any], encoders: dict[str, Ensemble]) -> None:
    tensors: dict[str, Tensor] = {}
    listed = []
    for way, ensemble in encoders.items():
        for number, encoder in enumerate(ensemble.encoders):
            listed.append([way, len(encoder.blocks), number])
            for name, value in encoder.state_dict().items():
                tensors[f"{way}|{number}|{name}"] = value.contiguous()
    make_folder(path.parent)
    header = json.dumps({"training": training, "encoders": listed})
    write_file(path, save(tensors, metadata={KEY: header}))


def _read(
    path: Path, training: dict[str, Any], settings: TrainingSettings
) -> dict[str, Ensemble] | None:
    """Return the encoders of a file; None where they were taught in another way."""
    with reading(path):
        file = read_tensors(path)
        header = read_as(_Header, parse_json(file.metadata.get(KEY, "{}")))
        if header["training"] != json.loads(json.dumps(training)):
            return None
        require_sound(file.tensors)
        found: dict[str, list[LayerEncoder]] = {}
        for way, blocks, number in header["encoders"]:
            encoder = LayerEncoder(len(FEATURES), settings.imitation.width, blocks)
            start = f"{way}|{number}|"
            own = {n.removeprefix(start): t for n, t in file.tensors.items() if n.startswith(start)}
            require_like(own, encoder.state_dict())
            encoder.load_state_dict(own)
            found.setdefault(way, []).append(encoder.eval())
        return {way: Ensemble(encoders) for way, encoders in found.items()}
