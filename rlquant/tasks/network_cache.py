"""Trained networks on disk: one safetensors file each, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from rlquant.documents import require_regular
from rlquant.documents.tensor_file import bytes_of, read_tensors, require_like, require_sound
from rlquant.errors import FileFormatError, StorageError
from rlquant.files import make_folder, write_file
from rlquant.paths import PathLike, path_of
from rlquant.samples import fingerprint_tensors
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.task import Samples

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "RLQUANT_CACHE"
TRAINING_VERSION = 1
"""Raise it when the same settings come to train another network."""


def cache_folder(cache: PathLike | None = None) -> Path:
    """Return where rlquant keeps what it can make again.

    That is `cache`, else the environment variable `RLQUANT_CACHE`, else the user's cache folder.
    """
    from platformdirs import user_cache_path

    if cache is not None:
        return path_of("cache", cache)
    chosen = os.environ.get(CACHE_VARIABLE)
    return path_of(CACHE_VARIABLE, chosen) if chosen else user_cache_path("rlquant")


def training_key(network: nn.Module, train: Samples, settings: FloatTrainSettings) -> str:
    """Return a hash (hex) of all that decides the trained network, save machine and threads."""
    document = {
        "version": TRAINING_VERSION,
        "settings": _described(settings),
        "data": fingerprint_tensors(train),
        "architecture": str(network),
        "shapes": {name: list(value.shape) for name, value in network.state_dict().items()},
    }
    text = json.dumps(document, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _described(settings: FloatTrainSettings) -> dict[str, Any]:
    """Return the settings by name; without augmentation as before there was any."""
    described = asdict(settings)
    if settings.augmentation is None:
        del described["augmentation"]
    return described


def restore(network: nn.Module, path: Path, key: str) -> bool:
    """Load the weights in `path` into `network`; return whether that was possible."""
    state = restore_tensors(network.state_dict(), path, key)
    if state is None:
        return False
    network.load_state_dict(state)
    return True


def restore_tensors(
    expected: Mapping[str, Tensor], path: Path, key: str
) -> dict[str, Tensor] | None:
    """Return the tensors in `path`, None where there are none.

    A damaged or foreign file is logged and removed, and what lies there without being a file is
    logged.

    Args:
        expected: tensors of the same names, shapes and types, on any device.
        path: the file.
        key: what it was stored with.
    """
    try:
        return None if require_regular(path) is None else _read(path, key, expected)
    except (OSError, FileFormatError) as error:
        logger.warning("%s is damaged and will be made again: %s", path, error)
        _remove(path)
        return None


def store(network: nn.Module, path: Path, key: str) -> None:
    """Write the weights of `network` to `path`; processes that race leave one whole file."""
    store_tensors(network.state_dict(), path, key)


def store_tensors(tensors: Mapping[str, Tensor], path: Path, key: str) -> None:
    """Write tensors to `path`, whole or not at all.

    A folder that cannot be written is logged: they are then made again next time.
    """
    state = {name: value.cpu().contiguous() for name, value in tensors.items()}
    content = save(state, metadata={"key": key, "hash": _hash(state)})
    try:
        make_folder(path.parent)
        write_file(path, content)
    except StorageError as error:
        logger.warning(
            "%s; it will be made again next time: set %s to a folder that can be written",
            error,
            CACHE_VARIABLE,
        )


def _read(path: Path, key: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    file = read_tensors(path, bytes_of(expected))
    if file.metadata.get("key") != key:
        raise FileFormatError(f"it was not written for key {key}")
    require_like(file.tensors, expected)
    require_sound(file.tensors)
    if file.metadata.get("hash") != _hash(file.tensors):
        raise FileFormatError("its weights are not those that were written")
    return file.tensors


def _hash(state: Mapping[str, Tensor]) -> str:
    """Return a hash of names and contents (hex): a flipped bit leaves a file as sound as before."""
    names = hashlib.blake2b(json.dumps(sorted(state)).encode(), digest_size=16).hexdigest()
    return names + fingerprint_tensors(state[name] for name in sorted(state))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error)
