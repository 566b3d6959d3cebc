"""A LightningModule: trained by a Trainer of Lightning, searched, validated by the Trainer again.

What is searched is the network inside of the module. Needs `pip install lightning`.

    python docs/examples/lightning_module.py 60
"""

from __future__ import annotations

import sys

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rlquant
from rlquant import Budget
from rlquant_agents import search


class Digits(lightning.LightningModule):
    """A classifier, and how it is trained and validated."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        inputs, labels = batch
        return nn.functional.cross_entropy(self.network(inputs), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Log the loss of a batch."""
        self.log("loss", self.training_step(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=0.003)


evaluations = int(sys.argv[1]) if len(sys.argv) > 1 else 60
images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
train = TensorDataset(images[:1200], labels[:1200])
validation = TensorDataset(images[1200:], labels[1200:])

lightning.seed_everything(0)
layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)]
module = Digits(nn.Sequential(*layers))
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = lightning.Trainer(max_epochs=20, accelerator="cpu", enable_model_summary=False, **quiet)
trainer.fit(module, DataLoader(train, batch_size=64, shuffle=True))

result = search(
    module.network.eval(),
    DataLoader(train, batch_size=256),  # in order, not shuffled: the same samples every time
    DataLoader(validation, batch_size=256),
    budget=Budget.average_bits(3.0),
    evaluations=evaluations,
    seed=0,
)
rlquant.save(result.network, "digits.rlq")  # result.score.size_bytes bytes

held_out = DataLoader(validation, batch_size=256)
before, after = (
    trainer.validate(each, held_out, verbose=False)[0]["loss"]
    for each in (module, Digits(result.network))
)
print({choice.layer: choice.bits for choice in result.best})  # noqa: T201
print(f"{result.score.average_bits:.2f} bits, loss {after:.4f}, float {before:.4f}")  # noqa: T201
