"""A network of the transformers library in a folder, with texts of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rlquant.documents import read_text
from rlquant.errors import DataError, NetworkError
from rlquant.files import reading
from rlquant.objective import Distillation, NextToken
from rlquant.paths import path_of
from rlquant.shared_embedding import share_embedding
from rlquant.tasks.own.parts import in_parts
from rlquant.tasks.pretrained.package_files import HF, require_modules
from rlquant.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LENGTH = 256
"""Tokens of a language model's sequence."""
LONGEST_LINE = 128
"""Tokens that an encoder sees of a line at the most."""
SEQUENCES = {"train": 128, "validation": 32, "test": 64}
LINES = {"train": 256, "validation": 256, "test": 512}
MOST_TEXT_BYTES = 2**28
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")
"""How the names of their classes end."""


def load(folder: str, *, text: Sequence[Path], images: Path | None) -> Task:
    """Load a network in float32 from a folder with config.json, safetensors files and a tokenizer.

    A language model is given sequences of 256 tokens, any other network the lines of the texts. It
    is compared with its own float outputs, so that no labels are needed.

    Args:
        folder: as `save_pretrained` writes it.
        text: files in UTF-8.
        images: none.

    Raises:
        DataError: the library or the texts are missing, or they are too short.
        NetworkError: the folder holds no network that the library can make of it.
    """
    name = f"transformers:{folder}"
    require_modules(name, HF, "transformers", "tokenizers")
    if not text or images is not None:
        raise DataError(f"{name} takes texts: give one or more text files (UTF-8), and no images")
    path = path_of("model", folder)
    if not (path / "config.json").is_file():
        raise DataError(f"{path} has no config.json; give a folder that save_pretrained wrote")
    contents = read_texts(text)
    with _quiet():
        network, tokenizer = _load(path)
    if type(network).__name__.endswith(LANGUAGE_MODELS):
        share_embedding(network)
        tokenized = (tokenizer(c, add_special_tokens=False, verbose=False) for c in contents)
        numbers = [number for each in tokenized for number in each["input_ids"]]
        data = sequences(numbers, _first_token(tokenizer))
        return Task(name, network, **data, objective=Distillation("kl"), metric=NextToken())
    distance = Distillation("kl" if "For" in type(network).__name__ else "cosine")
    return Task(name, network, **_lines(tokenizer, contents), objective=distance, metric=distance)


def read_texts(files: Sequence[Path]) -> list[str]:
    """Return what text files hold; `FileFormatError` and `StorageError` name the file."""
    contents = []
    for file in files:
        with reading(file):
            contents.append(read_text(file, MOST_TEXT_BYTES))
    return contents


def _load(path: Path) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Return network and tokenizer; no code of the folder is run, and no pickle is read."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        architecture = str((config.architectures or ["none"])[0])
        cls = getattr(transformers, architecture, None)
        if cls is None:
            raise NetworkError(f"{path}: transformers has no class {architecture!r}")
        network: nn.Module = cls.from_pretrained(
            path, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise NetworkError(f"{path} cannot be loaded by transformers: {reason}") from error
    if hasattr(network.config, "use_cache"):
        network.config.use_cache = False
    return network.eval(), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no progress bars of the library."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _first_token(tokenizer: Any) -> int | None:
    """Return the token that the tokenizer puts before a text, None where it puts none."""
    added = tokenizer("")["input_ids"]
    first: int | None = tokenizer.bos_token_id
    return first if first is not None and list(added[:1]) == [first] else None


def sequences(tokens: Sequence[int], first: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Return texts that follow each other in sequences of 256 tokens, in three disjoint parts.

    Args:
        tokens: of the texts.
        first: what each sequence begins with, as networks expect it whose tokenizer puts it there.
    """
    begin = [] if first is None else [first]
    own = LENGTH - len(begin)
    ends = range(own, len(tokens) + 1, own)
    found = [[*begin, *tokens[end - own : end]] for end in ends]
    parts = in_parts(found, SEQUENCES, f"sequences of {LENGTH} tokens in the texts")
    return {part: {"input_ids": torch.tensor(rows)} for part, rows in parts.items()}


def _lines(tokenizer: Any, contents: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    stripped = (line.strip() for content in contents for line in content.splitlines())
    lines = [line for line in dict.fromkeys(stripped) if line]
    return {
        part: dict(
            tokenizer(
                rows, truncation=True, max_length=LONGEST_LINE, padding=True, return_tensors="pt"
            )
        )
        for part, rows in in_parts(lines, LINES, "lines in the texts").items()
    }
