"""A network that the Trainer of transformers has trained, searched, and evaluated by it again.

The batches of the Trainer's own loaders are what a search takes. Needs `pip install accelerate`.

    python docs/examples/hf_trainer.py 60 15  # evaluations, epochs
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import rlquant
from rlquant import Budget
from rlquant_agents import search

evaluations, epochs = map(int, sys.argv[1:]) if len(sys.argv) > 1 else (60, 15)
images, labels = load_digits(return_X_y=True)
images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
samples = [
    {"pixel_values": image, "labels": label}
    for image, label in zip(images, torch.tensor(labels), strict=True)
]
train, validation = samples[:1200], samples[1200:]

torch.manual_seed(0)
size = {"image_size": 8, "patch_size": 2, "num_channels": 1, "num_labels": 10}
width = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
network = ViTForImageClassification(ViTConfig(**size, **width, intermediate_size=128))
arguments = TrainingArguments(
    output_dir="vit",
    num_train_epochs=epochs,
    learning_rate=2e-3,
    per_device_train_batch_size=64,
    per_device_eval_batch_size=256,
    use_cpu=True,
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
)
trainer = Trainer(network, arguments, train_dataset=train, eval_dataset=validation)
trainer.train()

result = search(
    network.eval(),
    trainer.get_eval_dataloader(train),  # in order, not shuffled: the same samples every time
    trainer.get_eval_dataloader(),
    budget=Budget.average_bits(4.0),
    evaluations=evaluations,
    seed=0,
)
rlquant.save(result.network, "vit.rlq")  # result.score.size_bytes bytes

before = trainer.evaluate()["eval_loss"]
after = Trainer(result.network, arguments, eval_dataset=validation).evaluate()["eval_loss"]
print({choice.layer: choice.bits for choice in result.best})  # noqa: T201
print(f"{result.score.average_bits:.2f} bits, loss {after:.4f}, float {before:.4f}")  # noqa: T201
