"""GGUF files read into networks of transformers, and what is refused of strangers' files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rlquant
from gguf_models import save_model, tiny_network
from rlquant import LayerChoice, QuantizationConfig
from rlquant.errors import FileFormatError
from rlquant.gguf.container import GgufFile, encode_header, tensor_bytes
from rlquant.gguf.network import read_network
from rlquant.gguf.tokenizer import read_tokenizer
from rlquant.gguf.values import encode
from strategies import damage, seeded

pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

TOKENS = torch.randint(300, (2, 20), generator=seeded(0))
TEXT = "the cat and a dog 12 naïve\n\n  x<|endoftext|>the"
CHOICES = tuple(
    LayerChoice(f"model.layers.{i}.self_attn.{n}_proj", 4, points="clipped", group_size=32)
    for i in range(2)
    for n in "qkv"
)


def written(folder: Path, kind: str = "llama", *, tied: bool = False) -> Path:
    """A file of a network of which some layers are quantized."""
    source = save_model(folder / "source", kind, tied=tied)
    network = tiny_network(kind, tied=tied)
    quantized = rlquant.quantize(network, QuantizationConfig(CHOICES))
    return rlquant.export_gguf(quantized, folder / "model.gguf", source=source).path


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_network_computes_what_the_written_one_does(
    tmp_path: Path, kind: str, tied: bool
) -> None:
    path = written(tmp_path, kind, tied=tied)
    wanted = rlquant.quantize(tiny_network(kind, tied=tied), QuantizationConfig(CHOICES))
    found = read_network(GgufFile.open(path))
    with torch.no_grad():
        assert torch.equal(found(TOKENS).logits, wanted(TOKENS).logits)
    assert (found.lm_head.weight is found.model.embed_tokens.weight) == tied


def test_a_tokenizer_is_that_of_the_folder(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(GgufFile.open(written(tmp_path)))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "source")
    assert tokenizer.encode(TEXT).ids == theirs(TEXT, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokenizer.encode("the cat 12").ids) == "the cat 12"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("general.architecture", encode("string", "mamba"), "of the architecture 'mamba'"),
        ("general.architecture", encode("uint32", 3), "of the architecture '3'"),
        ("llama.block_count", encode("uint32", 3), "are missing"),
        ("llama.block_count", encode("uint32", 10**9), "tensors for more layers"),
        ("llama.block_count", encode("string", "two"), "block_count is two"),
        ("llama.embedding_length", encode("uint32", 2**30), "is of shape"),
        ("llama.embedding_length", encode("uint32", 0), "embedding_length is 0"),
        ("llama.attention.head_count", encode("uint32", 7), "heads do not divide"),
        ("llama.attention.head_count", encode("uint32", [4, 4]), "head_count is \\[4, 4\\]"),
        ("llama.attention.layer_norm_rms_epsilon", encode("float32", -1.0), "epsilon is -1.0"),
        ("llama.rope.freq_base", encode("string", "x"), "freq_base is x"),
        ("llama.rope.scaling.type", encode("string", "yarn"), "positions are scaled"),
        ("llama.feed_forward_length", None, "no metadata 'llama.feed_forward_length'"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, key: str, value: bytes | None, words: str
) -> None:
    file = GgufFile.open(written(tmp_path))
    metadata = {k: v for k, v in {**file.metadata, key: value}.items() if v is not None}
    tensors = [(info, tensor_bytes(info)) for info in file.tensors.values()]
    data = file.path.read_bytes()[min(file.offsets.values()) :]
    (tmp_path / "other.gguf").write_bytes(encode_header(metadata, tensors) + data)
    with pytest.raises(FileFormatError, match=f"other.gguf: .*{words}"):
        read_network(GgufFile.open(tmp_path / "other.gguf"))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("model")).read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "model.gguf"
    path.write_bytes(data.draw(damage(content[:2000])) + content[2000:])
    try:
        file = GgufFile.open(path)
        read_network(file)
        read_tokenizer(file)
    except FileFormatError as error:
        said = str(error)
    else:
        said = "model.gguf"
    assert "model.gguf" in said
