"""GGUF files: what is read back computes what the quantized network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import rlquant
from gguf_models import read_network, save_model, tiny_network
from rlquant import LayerChoice, QuantizationConfig
from rlquant.errors import DataError, FileFormatError, NetworkError, SettingsError
from rlquant.gguf.container import GgufFile
from strategies import seeded

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

TOKENS = torch.randint(300, (2, 20), generator=seeded(0))
LAYERS = {
    "model.embed_tokens": LayerChoice("", 8, points="clipped", group_size=32),
    "model.layers.0.self_attn.q_proj": LayerChoice("", 4, points="clipped", group_size=32),
    "model.layers.0.self_attn.k_proj": LayerChoice("", 5, points="affine_step", group_size=32),
    "model.layers.1.self_attn.q_proj": LayerChoice("", 4, points="affine_step", group_size=32),
    "model.layers.1.mlp.down_proj": LayerChoice("", 5, points="symmetric", group_size=32),
    "lm_head": LayerChoice("", 8, points="symmetric", group_size=32),
}


def config(**layers: LayerChoice) -> QuantizationConfig:
    named = {**LAYERS, **layers}
    return QuantizationConfig(
        tuple(
            LayerChoice(name, c.bits, points=c.points, group_size=c.group_size)
            for name, c in named.items()
        )
    )


def written(folder: Path, kind: str) -> tuple[Any, Path, rlquant.GgufExport]:
    """A quantized network, its file, and what the exporter says."""
    source = save_model(folder / "source", kind)
    network = getattr(transformers, type(tiny_network(kind)).__name__).from_pretrained(source)
    quantized = rlquant.quantize(network.eval(), config())
    export = rlquant.export_gguf(quantized, folder / "model.gguf", source=source)
    return quantized, source, export


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gemma3"])
def test_transformers_reads_back_what_the_network_computes(tmp_path: Path, kind: str) -> None:
    quantized, _, export = written(tmp_path, kind)
    loaded = read_network(export.path)
    with torch.no_grad():
        ours, theirs = quantized(TOKENS).logits, loaded(TOKENS).logits
        assert torch.allclose(ours, theirs, atol=1e-4)
        plain = tiny_network(kind)(TOKENS).logits
    assert float((ours - plain).abs().max()) > 100 * float((ours - theirs).abs().max())
    assert export.types["blk.0.attn_q.weight"] == "Q4_0"
    assert export.types["blk.0.attn_k.weight"] == "Q5_1"
    assert export.types["blk.1.attn_q.weight"] == "Q4_1"
    assert export.types["blk.0.attn_norm.weight"] == "F32"
    assert export.histogram()["Q8_0"] == 2


def test_the_tokenizer_is_read_back_by_transformers(tmp_path: Path) -> None:
    _, source, _ = written(tmp_path, "llama")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    ours = transformers.AutoTokenizer.from_pretrained(source)
    for text in ("the cat and a dog 12", "naïve\n\n  x<|endoftext|>the"):
        assert theirs(text)["input_ids"] == ours(text)["input_ids"]


def test_a_file_is_the_source_of_another_with_the_same_metadata(tmp_path: Path) -> None:
    quantized, _, export = written(tmp_path, "llama")
    again = rlquant.export_gguf(quantized, tmp_path / "again.gguf", source=export.path)
    assert again.path.read_bytes() == export.path.read_bytes()
    assert again.bytes == export.bytes == export.path.stat().st_size


def test_metadata_are_those_that_the_package_reads(tmp_path: Path) -> None:
    _, _, export = written(tmp_path, "llama")
    ours, theirs = GgufFile.open(export.path), gguf.GGUFReader(export.path)
    fields = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert fields == {key: ours.value(key) for key in ours.metadata}
    assert fields["llama.attention.head_count_kv"] == 2
    assert fields["tokenizer.ggml.pre"] == "smollm"
    assert fields["tokenizer.chat_template"] == "{{ raise_exception('never rendered') }}"
    for tensor in theirs.tensors:
        assert ours.offsets[tensor.name] == tensor.data_offset
        assert ours.tensors[tensor.name].shape == tuple(reversed(tensor.shape.tolist()))


def test_what_the_packages_writer_writes_is_the_same_file(tmp_path: Path) -> None:
    _, _, export = written(tmp_path, "llama")
    read, writer = gguf.GGUFReader(export.path), gguf.GGUFWriter(tmp_path / "w.gguf", "llama")
    for key, field in read.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=sub)
    for tensor in read.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert (tmp_path / "w.gguf").read_bytes() == export.path.read_bytes()


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source", tied=True)
    network = transformers.LlamaForCausalLM.from_pretrained(source).eval()
    chosen = QuantizationConfig(tuple(c for c in config() if "layers" in c.layer))
    quantized = rlquant.quantize(network, chosen)
    export = rlquant.export_gguf(quantized, tmp_path / "model.gguf", source=source)
    assert "output.weight" not in export.types
    loaded = read_network(export.path)
    with torch.no_grad():
        assert torch.allclose(loaded(TOKENS).logits, quantized(TOKENS).logits, atol=1e-4)


def test_layers_that_no_type_holds_are_named(tmp_path: Path) -> None:
    source = save_model(tmp_path)
    network = transformers.LlamaForCausalLM.from_pretrained(source).eval()
    quantized = rlquant.quantize(network, config(lm_head=LayerChoice("", 3)))
    with pytest.raises(NetworkError, match=r"1 layer .* 'lm_head': no type of ggml is .*Q?"):
        rlquant.export_gguf(quantized, tmp_path / "m.gguf", source=source)
    assert not (tmp_path / "m.gguf").exists()


def test_scales_beyond_float16_are_refused(tmp_path: Path) -> None:
    source, network = save_model(tmp_path), tiny_network()
    with torch.no_grad():
        network.lm_head.weight[0, 0] = 1e6
    with pytest.raises(NetworkError, match="'lm_head': its scales do not fit float16"):
        rlquant.export_gguf(rlquant.quantize(network, config()), tmp_path / "m", source=source)


def test_other_networks_and_sources_are_refused(tmp_path: Path) -> None:
    quantized, source, export = written(tmp_path, "llama")
    out = tmp_path / "m.gguf"
    other = rlquant.quantize(tiny_network("qwen2"), config())
    with pytest.raises(NetworkError, match=r"of another network: its general.architecture"):
        rlquant.export_gguf(other, out, source=export.path)
    with pytest.raises(SettingsError, match="holds a tokenizer too"):
        rlquant.export_gguf(quantized, out, source=None)  # type: ignore[arg-type]
    (source / "tokenizer.json").rename(source / "gone")
    with pytest.raises(DataError, match=r"has no tokenizer.json: give a GGUF"):
        rlquant.export_gguf(quantized, out, source=source)
    (source / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    with pytest.raises(FileFormatError, match="no tokenizer of byte-level BPE"):
        rlquant.export_gguf(quantized, out, source=source)
    mlp = torch.nn.Sequential(torch.nn.Linear(32, 4))
    plain = rlquant.quantize(mlp, QuantizationConfig((LayerChoice("0", 4, group_size=32),)))
    with pytest.raises(NetworkError, match="this one is a Sequential"):
        rlquant.export_gguf(plain, out, source=source)
    with pytest.raises(SettingsError, match=r"use rlquant\.export_gguf"):
        rlquant.export_onnx(quantized, TOKENS, out, target="gguf")
    assert not out.exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"query_pre_attn_scalar": 64}, "with query_pre_attn_scalar=256, it has 64"),
        ({"final_logit_softcapping": 30.0}, "with final_logit_softcapping=None, it has 30.0"),
        (
            {"layer_types": ["full_attention"] * 6},
            r"with layer_types=\['sliding_attention', .*it has",
        ),
        ({"use_bidirectional_attention": True}, "no place for what use_bidirectional_attention"),
    ],
)
def test_what_llama_cpp_would_compute_in_another_way_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    network = tiny_network("gemma3")
    for field, value in changed.items():
        setattr(network.config, field, value)
    with pytest.raises(NetworkError, match=words):
        rlquant.export_gguf(rlquant.quantize(network, config()), tmp_path / "m", source=tmp_path)


def test_windows_and_scales_of_gemma_are_stated(tmp_path: Path) -> None:
    network, _, export = written(tmp_path, "gemma3")
    file = GgufFile.open(export.path)
    assert file.value("gemma3.attention.sliding_window") == 8
    assert file.value("gemma3.rope.freq_base") == 1_000_000.0
    norm = network.state_dict()["model.layers.0.self_attn.q_norm.weight"]
    assert torch.equal(torch.from_numpy(file.floats("blk.0.attn_q_norm.weight")), 1.0 + norm)
