from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlquant.tasks.pretrained.llama_gguf import open_gguf, read_llama, read_tokenizer

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
TOKENS = ["<|end|>", "a", "b", "Ġ", "1", "ab", "Ġab"]


def neighbours(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return rows in the file's order: those half a head apart are neighbours."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def write(path: Path, network: torch.nn.Module) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, *[1] * (len(TOKENS) - 1)])
    writer.add_token_merges(["a b", "Ġ ab"])
    for name, value in network.state_dict().items():
        match name.split("."):
            case ["model", "layers", block, *module, kind]:
                module_name = NAMES[".".join(module)]
                heads = {"attn_q": 4, "attn_k": 2}.get(module_name)
                value = value if heads is None else neighbours(value, heads)
                writer.add_tensor(f"blk.{block}.{module_name}.{kind}", value.numpy())
            case ["model", "embed_tokens", _]:
                writer.add_tensor("token_embd.weight", value.numpy())
            case ["model", "norm", _]:
                writer.add_tensor("output_norm.weight", value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_network_and_its_tokenizer_are_read_as_they_were_written(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(
        vocab_size=8, hidden_size=16, intermediate_size=12, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    network = transformers.LlamaForCausalLM(config).eval()
    write(tmp_path / "model.gguf", network)
    reader = open_gguf(tmp_path / "model.gguf")
    found = read_llama(reader, config)
    tokens = torch.arange(8)[None]
    assert torch.equal(found(tokens).logits, network(tokens).logits)
    assert found.lm_head.weight is found.model.embed_tokens.weight

    tokenizer = read_tokenizer(reader)
    assert tokenizer.encode("ab ab11<|end|>").tokens == ["ab", "Ġab", "1", "1", "<|end|>"]
    assert tokenizer.decode(tokenizer.encode("ab ab1").ids) == "ab ab1"
