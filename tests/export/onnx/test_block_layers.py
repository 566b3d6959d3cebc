"""Files for onnxruntime's operators of few bits in blocks, run by onnxruntime."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rlquant
from rlquant import LayerChoice, QuantizationConfig, SearchSpace
from rlquant.errors import DataError, NetworkError
from rlquant.export.onnx.block_layers import packed_bytes
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.runtime import open_session, run_session
from rlquant.export.targets import TARGETS
from rlquant.shared_embedding import SharedHead
from strategies import seeded

TARGET = "onnxruntime-matmulnbits"


class Decoder(nn.Module):
    """One block of attention and MLP between an embedding and a head that is tied to it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 64)
        self.norm, self.last = nn.LayerNorm(64), nn.LayerNorm(64)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(64, 64, bias=False) for _ in range(3))
        self.up, self.down = nn.Linear(64, 200), nn.Linear(200, 64)
        self.head = SharedHead(self.embed)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        y = self.norm(x)
        scores = self.q_proj(y) @ self.k_proj(y).transpose(1, 2) / 8
        x = x + scores.softmax(dim=-1) @ self.v_proj(y)
        logits: Tensor = self.head(self.last(x + self.down(functional.gelu(self.up(x)))))
        return logits


CHOICES = [
    LayerChoice("embed", 4, points="clipped", group_size=32),
    LayerChoice("q_proj", 2, points="zero_point", group_size=32),
    LayerChoice("k_proj", 4, points="zero_point", group_size=64),
    LayerChoice("v_proj", 8, points="symmetric", group_size=32),
    LayerChoice("up", 2, points="clipped", group_size=64),
    LayerChoice("down", 8, points="zero_point", group_size=128),  # the last block is shorter
]
TOKENS = torch.randint(50, (6, 9), generator=seeded(0))


def decoder(choices: list[LayerChoice] = CHOICES) -> nn.Module:
    torch.manual_seed(0)
    return rlquant.quantize(Decoder().eval(), QuantizationConfig(tuple(choices)))


def test_a_transformer_runs_in_these_operators_with_its_own_numbers(tmp_path: Path) -> None:
    own = decoder()
    by_name = {"tokens": TOKENS[:2]}
    written = export_onnx(own, by_name, tmp_path / "m.onnx", target=TARGET)
    assert written.error is not None
    assert written.error < 2e-6
    model = onnx.load(written.path)
    operators = Counter(node.op_type for node in model.graph.node)
    assert (operators["MatMulNBits"], operators["GatherBlockQuantized"]) == (6, 1)
    assert not {"DequantizeLinear", "Gemm", "Cast"} & set(operators)
    embedding = [i for i in model.graph.initializer if i.name.startswith("embed.codes")]
    assert [tuple(i.dims) for i in embedding] == [(50, 2, 16)]  # the head's as well
    (found,) = run_session(open_session(written.path), [TOKENS])  # another batch
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found), own(TOKENS), atol=1e-5)
    assert written.layers["down"] == "uint8 blocks, MatMulNBits; float inputs"


def test_every_width_and_block_of_a_linear_layer_behind_one_of_another_kind(
    tmp_path: Path,
) -> None:
    kinds = [(4, "zero_point", 32), *product((2, 4, 8), ("clipped", "zero_point"), (32, 64, 128))]
    torch.manual_seed(0)
    layers = (nn.Linear(160, 160, bias=number % 4 == 0) for number in range(18))
    own = nn.Sequential(nn.Conv2d(4, 10, 3), nn.Flatten(), *layers).eval()
    names = [name for name, module in own.named_children() if not isinstance(module, nn.Flatten)]
    choices = tuple(
        LayerChoice(name, bits, points=points, group_size=block)  # type: ignore[arg-type]
        for name, (bits, points, block) in zip(names, kinds, strict=True)
    )
    own = rlquant.quantize(own, QuantizationConfig(choices))
    written = export_onnx(own, torch.rand(3, 4, 6, 6), tmp_path / "m.onnx", target=TARGET)
    assert written.error is not None
    assert written.error < 1e-5
    operators = Counter(node.op_type for node in onnx.load(written.path).graph.node)
    assert operators["MatMulNBits"] == 18
    assert written.layers["0"].startswith("uint4 codes, Gather")


def test_names_that_are_not_the_first_arguments_are_refused() -> None:
    with pytest.raises(DataError, match=r"by name \(words\), which are not the first arguments"):
        export_onnx(decoder(), {"words": TOKENS}, "m.onnx", target=TARGET)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_are_packed_as_the_runtimes_own_quantizer_packs_them(bits: int) -> None:
    codes = torch.randint(2**bits, (5, 3, 32), generator=seeded(bits)).to(torch.uint8).numpy()
    found = packed_bytes(codes, bits)
    places = [((found >> shift) & (2**bits - 1)) for shift in range(0, 8, bits)]
    assert np.array_equal(np.stack(places, axis=-1).reshape(codes.shape), codes)


def test_the_target_restricts_a_space_to_what_the_kernels_take() -> None:
    target = TARGETS[TARGET]
    space = SearchSpace(
        bits=(2, 3, 4, 8),
        points=("clipped", "kmeans", "zero_point"),
        group_size=("channel", 16, 64),
    )
    left = target.restrict(space)
    assert (left.bits, left.points, left.group_size) == (
        (2, 4, 8),
        ("clipped", "zero_point"),
        (64,),
    )
    own = decoder([LayerChoice("up", 3, points="clipped", group_size=64)])
    with pytest.raises(NetworkError, match=r"layer 'up': bits=3, use one of \(4, 8, 2\)"):
        export_onnx(own, TOKENS, "m.onnx", target=TARGET)


def test_the_page_on_onnxruntime_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "onnxruntime.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {})
    assert (tmp_path / "model.onnx").is_file()
