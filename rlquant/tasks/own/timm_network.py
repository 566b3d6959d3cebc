"""A pretrained network of the timm library, with images of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rlquant.errors import DataError, NetworkError
from rlquant.objective import Distillation
from rlquant.tasks.images import image_source, middle_squares, shuffled
from rlquant.tasks.own.parts import in_parts
from rlquant.tasks.pretrained.package_files import require_modules
from rlquant.tasks.task import Samples, Task

SEED = 0
"""Of the order of the images."""
IMAGES = {"train": 256, "validation": 300, "test": 500}


def load(name: str, *, text: Sequence[Path], images: Path | None) -> Task:
    """Load a network with the weights that timm has for it.

    It is compared with its own float outputs, so that no labels are needed: all targets are 0.

    Args:
        name: as `timm.create_model` takes it.
        text: none.
        images: a folder or .tar of JPEG or PNG files.

    Raises:
        DataError: the library or the images are missing, damaged, or too few.
        NetworkError: timm knows no such network or cannot get its weights.
    """
    full = f"timm:{name}"
    require_modules(full, "timm", "timm", "PIL")
    if images is None or text:
        raise DataError(f"{full} takes images: give a folder or .tar of JPEG or PNG files, no text")
    network, side, mean, std, margin = _create(name)
    source = image_source(images)
    parts = in_parts(shuffled(source.names(), SEED), IMAGES, f"images in {images}")
    data: dict[str, Samples] = {}
    for part, names in parts.items():
        squares = torch.stack(list(middle_squares(source, names, side, margin)))
        inputs = (squares.float() / 255 - mean) / std
        data[part] = (inputs, torch.zeros(len(names), dtype=torch.int64))
    distance = Distillation("kl")
    return Task(full, network, **data, objective=distance, metric=distance)


def _create(name: str) -> tuple[nn.Module, int, Tensor, Tensor, float]:
    """Return the network, and what its images are: side, mean and deviation, margin."""
    try:
        import timm

        network: nn.Module = timm.create_model(name, pretrained=True)
        config = timm.data.resolve_model_data_config(network)
    except Exception as error:  # downloads, checkpoints and torchvision raise anything
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"timm cannot make {name!r}: {type(error).__name__}: {reason}"
        ) from error
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    return network.eval(), int(config["input_size"][-1]), mean, std, 1 / float(config["crop_pct"])
