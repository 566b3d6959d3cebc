"""What a search is about, as a run folder remembers it: a task, or a model of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlquant import tasks
from rlquant.data import Data
from rlquant.paths import path_of
from rlquant.tasks import Task


@dataclass(frozen=True, slots=True)
class TaskSource:
    """A task or model by name, and a model's data.

    Attributes:
        task: "digits/mlp", or "transformers:FOLDER", "gguf:FILE", "timm:NAME" or
            "my_module:function".
        text: files of a model of transformers or gguf.
        images: folder or .tar of a model of timm.
    """

    task: str
    text: tuple[Path, ...] = ()
    images: Path | None = None

    def load(self, device: str = "cpu") -> Task:
        """Load the task; see `tasks.load` and `tasks.load_model` for errors."""
        if ":" not in self.task:
            return tasks.load(self.task, device=device)
        return tasks.load_model(self.task, text=self.text, images=self.images, device=device)

    def data(self) -> tuple[Data, Data]:
        """Load the training and the validation data alone, as workers do."""
        task = self.load()
        return task.train, task.validation

    @property
    def file_name(self) -> str:
        """The name as part of a file name: of a path its last part."""
        name = self.task.rstrip("/").rpartition("/")[2] if ":" in self.task else self.task
        return re.sub(r"[^\w.-]+", "-", name)

    def document(self) -> dict[str, Any]:
        """Return it as settings.json has it, with absolute paths."""
        document: dict[str, Any] = {"task": self.task}
        library, _, folder = self.task.partition(":")
        if library in ("transformers", "gguf"):
            document["task"] = f"{library}:{path_of('model', folder)}"
        if self.text:
            document["text"] = [str(path_of("text", file)) for file in self.text]
        if self.images is not None:
            document["images"] = str(path_of("images", self.images))
        return document
