"""Trained networks on disk: one safetensors file each, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rlquant.data import fingerprint_tensors
from rlquant.errors import FileFormatError, StorageError
from rlquant.files import about, write_file
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.task import Samples

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "RLQUANT_CACHE"
TRAINING_VERSION = 1
"""Raise it when the same settings come to train another network."""


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return where rlquant keeps what it can make again.

    That is `cache`, else the environment variable `RLQUANT_CACHE`, else the user's cache folder.
    """
    from platformdirs import user_cache_path

    chosen = cache or os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else user_cache_path("rlquant")


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
    """Load the weights in `path` into `network`; return whether that was possible.

    A damaged or foreign file is logged and removed.
    """
    try:
        if not path.is_file():
            return False
        network.load_state_dict(_read(path, key, network.state_dict()))
    except (OSError, SafetensorError, FileFormatError) as error:
        logger.warning("%s is damaged and will be made again: %s", path, error)
        _remove(path)
        return False
    return True


def store(network: nn.Module, path: Path, key: str) -> None:
    """Write the weights of `network` to `path`; processes that race leave one whole file.

    A folder that cannot be written is logged: the network is then trained again next time.
    """
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    content = save(state, metadata={"key": key})
    try:
        with about(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except StorageError as error:
        logger.warning(
            "%s; it will be trained again next time: set %s to a folder that can be written",
            error,
            CACHE_VARIABLE,
        )


def _read(path: Path, key: str, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("key") != key:
            raise FileFormatError(f"it was not written for key {key}")
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    shapes = {name: (value.shape, value.dtype) for name, value in state.items()}
    if shapes != {name: (value.shape, value.dtype) for name, value in expected.items()}:
        raise FileFormatError("its tensors are not those of the network")
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise FileFormatError("it holds NaN or infinite weights")
    return state


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error)
