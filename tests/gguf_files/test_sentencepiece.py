"""SentencePiece tokenizers in GGUF files: joined by scores, with bytes for what is no token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gguf_models import save_model, tiny_network
from rlquant import LayerChoice, QuantizationConfig, export_gguf, quantize
from rlquant.errors import FileFormatError
from rlquant.gguf.container import GgufFile, encode_header, tensor_bytes
from rlquant.gguf.sentencepiece import merges
from rlquant.gguf.tokenizer import first_token, read_tokenizer
from rlquant.gguf.values import encode
from rlquant.tasks import load_model
from tiny_models import text_of

pytest.importorskip("gguf")
pytest.importorskip("transformers")

BYTES = [f"<0x{number:02X}>" for number in range(256)]
PIECES = {"▁": -9.0, "a": -9.0, "b": -9.0, "c": -9.0, "ab": -3.0, "bc": -2.0, "▁a": -1.0}
TOKENS = ["<unk>", "<bos>", "  ", *BYTES, *PIECES]
TYPES = [2, 3, 4, *[6] * len(BYTES), *[1] * len(PIECES)]
SCORES = [0.0, 0.0, 0.0, *[0.0] * len(BYTES), *PIECES.values()]


def metadata(**changed: bytes | None) -> dict[str, bytes]:
    """A tokenizer's metadata, some of them other ones or left out."""
    found: dict[str, bytes | None] = {
        "model": encode("string", "llama"),
        "tokens": encode("string", TOKENS),
        "scores": encode("float32", SCORES),
        "token_type": encode("int32", TYPES),
        "bos_token_id": encode("uint32", 1),
        "unknown_token_id": encode("uint32", 0),
        "add_space_prefix": encode("bool", False),
        **changed,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in found.items() if value is not None}


def written(folder: Path, **changed: bytes | None) -> GgufFile:
    """A file of nothing but the tokenizer."""
    (folder / "tokenizer.gguf").write_bytes(encode_header(metadata(**changed), []))
    return GgufFile.open(folder / "tokenizer.gguf")


def tokens(file: GgufFile, text: str) -> list[str]:
    """The tokens of a text."""
    encoded = read_tokenizer(file).encode(text, add_special_tokens=False)
    return [TOKENS[number] for number in encoded.ids]


def test_the_joined_token_of_the_highest_score_comes_first(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert tokens(file, "abc") == ["a", "bc"]  # -2 before -3
    assert tokens(file, " abc") == ["▁a", "bc"]
    assert tokens(file, "ab  a") == ["ab", "  ", "a"]
    assert tokens(file, "é") == ["<0xC3>", "<0xA9>"]
    assert tokens(file, "<bos>a") == ["<bos>", "a"]
    tokenizer = read_tokenizer(file)
    assert tokenizer.decode(tokenizer.encode(" abcé a").ids) == " abcé a"


def test_a_space_goes_first_where_the_file_does_not_deny_it(tmp_path: Path) -> None:
    file = written(tmp_path, add_space_prefix=None)
    assert tokens(file, "abc") == ["▁a", "bc"]
    assert read_tokenizer(file).decode(read_tokenizer(file).encode("abc").ids) == "abc"


def test_pairs_of_one_token_are_in_the_order_of_their_first_parts() -> None:
    scores = {"a": 0.0, "b": -1.0, "ab": -2.0, "bb": -3.0, "abb": -4.0}
    assert merges(scores) == [("a", "b"), ("b", "b"), ("a", "bb"), ("ab", "b")]


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, 1),
        ({"add_bos_token": encode("bool", False)}, None),
        ({"model": encode("string", "gpt2")}, None),
        ({"model": encode("string", "gpt2"), "add_bos_token": encode("bool", True)}, 1),
        ({"bos_token_id": None}, None),
    ],
)
def test_the_token_before_a_text(tmp_path: Path, changed: Any, first: int | None) -> None:
    assert first_token(written(tmp_path, **changed)) == first


def test_a_first_token_that_is_none_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, bos_token_id=encode("uint32", 999))
    with pytest.raises(FileFormatError, match=r"tokenizer\.gguf: .*bos_token_id is 999 of 266"):
        first_token(file)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": encode("string", "bert")}, "is a 'bert'; known are"),
        ({"scores": encode("float32", SCORES[1:])}, "no score for each of its tokens"),
        ({"scores": encode("string", ["x"] * len(TOKENS))}, "scores that are no numbers"),
        (
            {"tokens": encode("string", [*TOKENS[:-1], "a" * 2000])},
            "a token of 2000 characters, above 1024",
        ),
        ({"token_type": encode("int32", TYPES[1:])}, "no lists of tokens and their types"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, changed: Any, words: str) -> None:
    file = written(tmp_path, **changed)
    with pytest.raises(FileFormatError, match=rf"tokenizer\.gguf: .*{words}"):
        read_tokenizer(file)


def test_each_sequence_begins_with_what_the_tokenizer_puts_before_a_text(tmp_path: Path) -> None:
    choice = LayerChoice("model.layers.0.mlp.up_proj", 8, points="clipped", group_size=32)
    network = quantize(tiny_network(), QuantizationConfig((choice,)))
    file = export_gguf(network, tmp_path / "m.gguf", source=save_model(tmp_path / "s")).path
    found = GgufFile.open(file)
    changed = {**found.metadata, "tokenizer.ggml.add_bos_token": encode("bool", True)}
    tensors = [(info, tensor_bytes(info)) for info in found.tensors.values()]
    data = file.read_bytes()[min(found.offsets.values()) :]
    (tmp_path / "bos.gguf").write_bytes(encode_header(changed, tensors) + data)
    (tmp_path / "text.txt").write_text(text_of(3000))
    plain, with_first = (
        load_model(f"gguf:{tmp_path / name}", text=[tmp_path / "text.txt"]).train["input_ids"]
        for name in ("m.gguf", "bos.gguf")
    )
    assert with_first.shape[1] == plain.shape[1] == 256
    assert with_first[:, 0].tolist() == [0] * len(with_first)
    assert with_first[0, 1:].tolist() == plain[0, :-1].tolist()
