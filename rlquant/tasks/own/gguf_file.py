"""A language model in a GGUF file, with texts of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlquant.errors import DataError
from rlquant.gguf.container import GgufFile
from rlquant.gguf.network import read_network
from rlquant.gguf.tokenizer import first_token, read_tokenizer
from rlquant.objective import Distillation, NextToken
from rlquant.paths import path_of
from rlquant.shared_embedding import share_embedding
from rlquant.tasks.own.transformers_folder import read_texts, sequences
from rlquant.tasks.pretrained.package_files import HF, require_modules
from rlquant.tasks.task import Task


def load(path: str, *, text: Sequence[Path], images: Path | None) -> Task:
    """Load a network in float32 from a GGUF file, whatever the types of its weights.

    It is given sequences of 256 tokens and compared with its own outputs, so that no labels are
    needed. Nothing of the file is executed, and its chat template is not rendered.

    Args:
        path: of the file.
        text: files in UTF-8.
        images: none.

    Raises:
        DataError: a package or the texts are missing, or they are too short.
        StorageError, FileFormatError: the file cannot be read, is damaged, or holds another kind
            of network or tokenizer.
    """
    name = f"gguf:{path}"
    require_modules(name, HF, "transformers", "tokenizers", "gguf")
    if not text or images is not None:
        raise DataError(f"{name} takes texts: give one or more text files (UTF-8), and no images")
    contents = read_texts(text)
    file = GgufFile.open(path_of("model", path))
    network, tokenizer = read_network(file), read_tokenizer(file)
    share_embedding(network)
    numbers = (tokenizer.encode(each, add_special_tokens=False).ids for each in contents)
    data = sequences([number for some in numbers for number in some], first_token(file))
    return Task(name, network, **data, objective=Distillation("kl"), metric=NextToken())
