"""`load_model`: one's own network and data as a task, named on a command line or in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.errors import SettingsError
from rlquant.paths import PathLike, path_of
from rlquant.tasks.task import Task

LIBRARIES: Mapping[str, str] = {
    "gguf": "rlquant.tasks.own.gguf_file:load",
    "timm": "rlquant.tasks.own.timm_network:load",
    "transformers": "rlquant.tasks.own.transformers_folder:load",
}
"""Libraries by the word before the colon: loaders, which need packages of their own."""
FUNCTION = "rlquant.tasks.own.function:load"
FORMS = "transformers:FOLDER, gguf:FILE, timm:NAME or my_module:function"


def named_model(model: str) -> str:
    """Return a model with its library before it, where it is a path that says what it is.

    Args:
        model: as `load_model` takes it.

    Raises:
        SettingsError: no library is named, and it is no GGUF file and no folder with config.json.
    """
    kind, colon, rest = model.partition(":")
    if colon and kind and rest:
        return model
    if model.endswith(".gguf"):
        return f"gguf:{model}"
    if model and (Path(model) / "config.json").is_file():
        return f"transformers:{model}"
    raise SettingsError(f"model={model!r}, use {FORMS}")


@explained
@isolated(seed=0)
def load_model(
    model: str,
    *,
    text: Sequence[PathLike] = (),
    images: PathLike | None = None,
    device: str | torch.device = "cpu",
) -> Task:
    """Load one's own network with data of one's own, split into three disjoint parts.

    Args:
        model: "transformers:FOLDER" (what `save_pretrained` wrote; with `text`), "gguf:FILE" (the
            same), "timm:NAME" (with `images`), or "my_module:function", a function without
            arguments that returns a `Task` or `(network, training data, validation data[, test
            data])`. Of such a folder, and of a file named .gguf, the path alone will do.
        text: files in UTF-8.
        images: a folder or .tar of JPEG or PNG files; no labels are needed.
        device: where network and data are returned.

    Raises:
        SettingsError: another form of `model`, or a function that is not there or returns
            something else.
        DataError: a package or the data are missing, damaged or too few.
        NetworkError: the library cannot make the network.
    """
    model = named_model(model)
    kind, _, rest = model.partition(":")
    files = [path_of("text", file) for file in text]
    folder = None if images is None else path_of("images", images)
    module, _, name = LIBRARIES.get(kind, FUNCTION).partition(":")
    load = getattr(import_module(module), name)
    task: Task = load(rest if kind in LIBRARIES else model, text=files, images=folder)
    return task.to(torch.device(device))
