"""The page of files in blocks, on a tiny encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rlquant import Distillation
from rlquant.tasks import Task
from rlquant_experiments.benchmarks.block_speed import SAME, THEIRS, UNIFORM, block_speed
from rlquant_experiments.commands.runtimes import RuntimesSettings, page


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.up = nn.Embedding(40, 64), nn.Linear(64, 128)
        self.down = nn.Linear(128, 64, bias=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.down(torch.relu(self.up(self.words(tokens)))) * mask[..., None]
        return nn.functional.normalize(hidden.sum(dim=1), dim=1)


def test_files_are_compared_on_one_page() -> None:
    torch.manual_seed(0)
    tokens, mask = torch.randint(40, (16, 6)), torch.ones(16, 6)
    parts = {name: {"tokens": tokens[i], "mask": mask[i]}
             for name, i in (("train", slice(8)), ("validation", slice(8, None)))}  # fmt: skip
    task = Task("tiny", Encoder().eval(), **parts, test=None, objective=Distillation("cosine"))
    settings = RuntimesSettings(batches=(1, 2), rounds=2, samples=8)
    found = block_speed(task, settings.batches, 2, 32, 8)
    one = block_speed(task, (1,), 2, 32, 8, tokens=1, uniform=UNIFORM[:1])
    rows = {row.name: row for row in found.rows}
    assert rows[SAME].bytes < rows["float32"].bytes
    assert abs(rows[SAME].bytes - rows[THEIRS].bytes) < 2000
    assert all(row.difference is None or row.difference < 1e-5 for row in found.rows)
    assert rows[str(UNIFORM[3])].loss < rows[SAME].loss < rows[str(UNIFORM[4])].loss
    text = page(found, one, settings, ["python", "scripts/runtimes.py"])
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| rlq")}) == 2
