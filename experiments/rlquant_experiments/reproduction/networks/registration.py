"""Registration of the papers' networks among the tasks, in this process."""

from __future__ import annotations

from functools import partial

from torch import nn

from rlquant.tasks import register_network
from rlquant.tasks.networks import NETWORKS, Builder, build
from rlquant.tasks.task import InputShape
from rlquant_experiments.reproduction.networks.plain import (
    STUDENT1,
    STUDENT2,
    STUDENT3,
    TEACHER,
    gupta_cnn_cifar,
    gupta_cnn_mnist,
    gupta_mlp,
    plain_cnn,
)
from rlquant_experiments.reproduction.networks.wide_resnet import wide_resnet

PAPER_NETWORKS: dict[str, tuple[Builder, float | None]] = {
    "gupta-mlp": (gupta_mlp, None),
    "gupta-cnn-mnist": (gupta_cnn_mnist, 0.05),
    "gupta-cnn-cifar": (gupta_cnn_cifar, 0.02),
    "polino-teacher": (partial(plain_cnn, plan=TEACHER), None),
    "polino-student1": (partial(plain_cnn, plan=STUDENT1), None),
    "polino-student2": (partial(plain_cnn, plan=STUDENT2), None),
    "polino-student3": (partial(plain_cnn, plan=STUDENT3), None),
    "wrn-10-2": (partial(wide_resnet, blocks=1, factor=2), None),
    "wrn-16-10": (partial(wide_resnet, blocks=2, factor=10), None),
    "wrn-22-8": (partial(wide_resnet, blocks=3, factor=8), None),
    "wrn-28-10": (partial(wide_resnet, blocks=4, factor=10), None),
}
"""Name -> builder, and the largest learning rate where the data set's own diverges."""


def register_paper_networks() -> None:
    """Register those that are not known yet; calling it again changes nothing."""
    for name, (builder, rate) in PAPER_NETWORKS.items():
        if name not in NETWORKS:
            register_network(name, builder, largest_rate=rate)


def build_registered(name: str, shape: InputShape, classes: int, *, seed: int = 0) -> nn.Module:
    """Build a network of the tasks, those of the papers among them; see `rlquant.tasks`."""
    register_paper_networks()
    return build(name, shape, classes, seed=seed)
