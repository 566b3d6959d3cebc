"""Labelled photographs of ImageNet's classes, from a folder or tar of the user's."""

from __future__ import annotations

import os
import re

import torch
from torch import Tensor

from rlquant.errors import DataError
from rlquant.paths import path_of
from rlquant.tasks.images import image_source, middle_squares, shuffled
from rlquant.tasks.published_files import DATA_VARIABLE

CLASSES = 1000
MOST_PHOTOGRAPHS = 2000
"""So many are taken at the most; they fill 1.2 GB."""
MARGIN = 256 / 224
"""Shorter side of a photograph over the square that is cut out of it."""
NAME = re.compile(r"(?:.*/)?(n\d{8})[^/]*", re.DOTALL)
REMEDY = (
    f"set {DATA_VARIABLE} to a folder or .tar of photographs named by WordNet id (n01440764.jpg, "
    f"n01440764_10026.JPEG) of all {CLASSES} classes of ImageNet"
)


def load_photographs(side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return photographs in a random order: their middle squares, and their classes.

    Args:
        side: height and width of the squares.
        seed: of the order, and of which are taken where there are many.

    Returns:
        Inputs `x / 127.5 - 1`, float32 `(n, 3, side, side)`, and targets, int64 `(n,)`: the places
        of the WordNet ids among those of all classes, sorted.

    Raises:
        DataError: `RLQUANT_DATA` does not lead to photographs of all classes, or one is damaged.
    """
    chosen = os.environ.get(DATA_VARIABLE)
    if not chosen:
        raise DataError(f"the photographs are missing: {REMEDY}")
    place = path_of(DATA_VARIABLE, chosen)
    try:
        source = image_source(place)
        ids = {name: match[1] for name in source.names() if (match := NAME.fullmatch(name))}
        names = shuffled(list(ids), seed)[:MOST_PHOTOGRAPHS]
        classes = {wordnet_id: number for number, wordnet_id in enumerate(sorted({*ids.values()}))}
        if len(classes) != CLASSES:
            raise DataError(f"{place} has photographs of {len(classes)} classes")
        inputs = torch.empty(len(names), 3, side, side)
        squares = middle_squares(source, names, side, MARGIN)
        for row, found in zip(inputs, squares, strict=True):
            row.copy_(found).div_(127.5).sub_(1)
    except DataError as error:
        raise DataError(f"{error}; {REMEDY}") from error
    return inputs, torch.tensor([classes[ids[name]] for name in names])
