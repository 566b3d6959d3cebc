"""Tokenizers: from a folder of transformers to a GGUF file's metadata, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlquant.documents import read_json
from rlquant.errors import DataError, FileFormatError
from rlquant.files import reading
from rlquant.gguf.container import GgufFile
from rlquant.gguf.pretokenizers import PRETOKENIZERS, name_of
from rlquant.gguf.sentencepiece import sentencepiece
from rlquant.gguf.values import encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens by their number in files."""
MODEL, BOS, ADD_BOS = (
    f"tokenizer.ggml.{key}" for key in ("model", "bos_token_id", "add_bos_token")
)
TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
ELSE = "give a GGUF file of the same network as the source"
MOST_BYTES = 2**27
WHOLE_FIRST = ("llama-bpe",)
"""Splittings whose pieces are tokens wherever the vocabulary has them, whatever the merges say."""
SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "pad_token": "padding_token_id",
}
"""Name in tokenizer_config.json -> key behind `tokenizer.ggml.`."""


def tokenizer_metadata(folder: Path, count: int) -> dict[str, bytes]:
    """Return the metadata of a tokenizer, encoded. No template is rendered, it is copied.

    Args:
        folder: of transformers, with tokenizer.json.
        count: rows of the embedding; what the vocabulary lacks are tokens that are not used.

    Raises:
        DataError: there is no tokenizer, or none of byte-level BPE whose splitting is known.
        FileFormatError: a file is damaged.
    """
    if not (folder / TOKENIZER).is_file():
        raise DataError(f"{folder} has no {TOKENIZER}: {ELSE}")
    with reading(folder / TOKENIZER):
        described = _mapping(read_json(folder / TOKENIZER, MOST_BYTES))
        model = _mapping(described.get("model"))
        vocabulary = _mapping(model.get("vocab") if model.get("type") == "BPE" else None)
        name = name_of(described.get("pre_tokenizer"))
        if name is None or model.get("byte_fallback"):
            raise DataError(
                f"{folder / TOKENIZER} splits texts in another way than {tuple(PRETOKENIZERS)}: "
                f"{ELSE}"
            )
        tokens, kinds = _tokens(vocabulary, described.get("added_tokens") or [], count)
        merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])]
    settings: Mapping[str, Any] = {}
    if (folder / SETTINGS).is_file():
        with reading(folder / SETTINGS):
            settings = _mapping(read_json(folder / SETTINGS, MOST_BYTES))
    found = {
        "model": encode("string", BYTE_LEVEL),
        "pre": encode("string", name),
        "tokens": encode("string", tokens),
        "token_type": encode("int32", kinds),
        "merges": encode("string", merges),
        **_special(settings, tokens),
        "add_bos_token": encode("bool", bool(settings.get("add_bos_token", False))),
    }
    named = {f"tokenizer.ggml.{key}": value for key, value in found.items()}
    template = _template(folder, settings)
    return named if template is None else {**named, "tokenizer.chat_template": template}


def _mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise FileFormatError("it describes no tokenizer of byte-level BPE")
    return found


def _tokens(
    vocabulary: Mapping[str, Any], added: list[Any], count: int
) -> tuple[list[str], list[int]]:
    """Return the token of every number, and its kind."""
    tokens = [f"[PAD{i}]" for i in range(count)]
    kinds = [UNUSED] * count
    plain = [(token, number, NORMAL) for token, number in vocabulary.items()]
    for each in added:
        kind = CONTROL if _mapping(each).get("special") else USER_DEFINED
        plain.append((each.get("content"), each.get("id"), kind))
    for token, number, kind in plain:
        if not isinstance(token, str) or not isinstance(number, int) or not 0 <= number < count:
            raise FileFormatError(f"token {token!r} is number {number!r} of {count}")
        tokens[number], kinds[number] = token, kind
    return tokens, kinds


def _special(settings: Mapping[str, Any], tokens: list[str]) -> dict[str, bytes]:
    found = {}
    for name, key in SPECIAL.items():
        token: Any = settings.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str) and token in tokens:
            found[key] = encode("uint32", tokens.index(token))
    return found


def _template(folder: Path, settings: Mapping[str, Any]) -> bytes | None:
    if (folder / TEMPLATE).is_file():
        with reading(folder / TEMPLATE):
            text = (folder / TEMPLATE).read_text(encoding="utf-8", errors="replace")
        return encode("string", text)
    stated = settings.get("chat_template")
    return encode("string", stated) if isinstance(stated, str) else None


def read_tokenizer(file: GgufFile) -> Tokenizer:
    """Return the tokenizer of a GGUF file.

    Raises:
        FileFormatError: it is damaged, or none of SentencePiece, nor of byte-level BPE whose
            splitting is known.
    """
    with reading(file.path):
        kind = str(file.value(MODEL))
        if kind not in KINDS:
            raise FileFormatError(f"its tokenizer is a {kind!r}; known are {tuple(KINDS)}")
        tokens, kinds = (file.value(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
        if not all(isinstance(each, list) for each in (tokens, kinds)) or len(tokens) != len(kinds):
            raise FileFormatError("its tokenizer has no lists of tokens and their types")
        named = [str(token) for token in tokens]
        tokenizer = KINDS[kind](file, named, kinds)
    by_kind = list(zip(named, kinds, strict=True))
    tokenizer.add_special_tokens([token for token, kind in by_kind if kind == CONTROL])
    tokenizer.add_tokens([token for token, kind in by_kind if kind == USER_DEFINED])
    return tokenizer


def first_token(file: GgufFile) -> int | None:
    """Return the token that llama.cpp puts before a text, None where it puts none."""
    added = file.value(ADD_BOS) if ADD_BOS in file.metadata else file.value(MODEL) == SENTENCEPIECE
    if not added or BOS not in file.metadata:
        return None
    number = file.value(BOS)
    count = len(file.value("tokenizer.ggml.tokens"))
    if not isinstance(number, int) or not 0 <= number < count:
        raise FileFormatError(f"{file.path}: its {BOS} is {str(number)[:40]} of {count} tokens")
    return number


def _byte_level(file: GgufFile, tokens: Sequence[str], kinds: Sequence[int]) -> Tokenizer:
    """Return the tokenizer without its control tokens."""
    from tokenizers import Tokenizer, decoders, models

    key = "tokenizer.ggml.pre"
    name = str(file.value(key)) if key in file.metadata else ""
    if name not in PRETOKENIZERS:
        raise FileFormatError(
            f"its tokenizer splits texts by {name!r}; known are {tuple(PRETOKENIZERS)}"
        )
    merges = file.value("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise FileFormatError("its tokenizer has no list of merges")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [(first, second) for first, _, second in (str(m).partition(" ") for m in merges)]
    try:
        tokenizer = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=name in WHOLE_FIRST))
    except Exception as error:  # the library's own class is that of all errors
        raise FileFormatError(f"its tokenizer cannot be made: {error}") from error
    tokenizer.pre_tokenizer = _pretokenizer(PRETOKENIZERS[name])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pretokenizer(described: Mapping[str, Any]) -> Any:
    """Return what a description in `PRETOKENIZERS` describes."""
    from tokenizers import Regex, pre_tokenizers

    match described["type"]:
        case "Sequence":
            parts = [_pretokenizer(each) for each in described["pretokenizers"]]
            return pre_tokenizers.Sequence(parts)
        case "Digits":
            return pre_tokenizers.Digits(individual_digits=described["individual_digits"])
        case "Split":
            return pre_tokenizers.Split(Regex(described["pattern"]["Regex"]), "isolated")
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=described["use_regex"])


BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
KINDS: Mapping[str, Callable[[GgufFile, Sequence[str], Sequence[int]], Tokenizer]] = {
    BYTE_LEVEL: _byte_level,
    SENTENCEPIECE: sentencepiece,
}
"""Name of a kind of tokenizer in files -> what reads it."""
