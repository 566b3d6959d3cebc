"""Gupta's experiments as the shared parts take them, with the words around them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.gupta.cnn_findings import cnn_findings
from rlquant_experiments.reproduction.gupta.jobs import make_jobs
from rlquant_experiments.reproduction.gupta.mlp_findings import mlp_findings
from rlquant_experiments.reproduction.gupta.panels import draw
from rlquant_experiments.reproduction.gupta.presets import PRESETS, GuptaPreset, Part
from rlquant_experiments.reproduction.gupta.products_finding import products_finding
from rlquant_experiments.reproduction.reproduction import Preset, Reproduction, Scale
from rlquant_experiments.reproduction.runs import Results

INTRODUCTION = (
    "Networks are trained with `rlquant.training.fixed_point`: weights, biases and updates (the "
    "momentum buffer is the last update) are numbers of the format <IL, FL>, with no float copy; "
    "inputs, outputs of layers and back-propagated errors are in words of the same length with at "
    "least 6 integer bits (<6,10> beside weights of <2,14>), as in the paper's convolutional "
    "networks. Words have 16 bits. Sums of products are exact and rounded once. SR is stochastic "
    "rounding; nearest rounds a tie down. The float control is the same loop in float64 without "
    "rounding. Trained networks are evaluated with outputs rounded to nearest, so that no draw "
    "decides a test error.\n\nOther than in the paper: {departures}"
)
DEPARTURES: dict[Preset, str] = {
    "quick": "Fashion-MNIST instead of MNIST and CIFAR-10 (on MNIST few errors are left to tell "
    "formats apart), its first 10,000 training images, narrower networks and few epochs. The "
    "CNN's rate is constant; the paper multiplies it by 0.95 an epoch. Rate and epochs of the "
    "paper's fully connected network were not read in a source: three rates are run.",
    "paper": "the CNNs' rates fall to a tenth after 80 % of the steps, not by 0.95 an epoch "
    "(MNIST) or by half after 50, 75 and 100 epochs (CIFAR-10). Rate and epochs of the fully "
    "connected network and the momentum on CIFAR-10 were not read in a source.",
    "tiny": "everything is so small that the numbers mean nothing; this preset shows that it runs.",
}


def gupta(scale: Scale) -> Reproduction:
    """Return the experiments on the claims G1 to G6."""
    preset = PRESETS[scale.preset]
    parts = {"mlp": preset.mlp, **preset.cnns, "products": preset.products}
    return Reproduction(
        paper="gupta",
        title="Gupta et al. 2015: training in fixed point",
        introduction=INTRODUCTION.format(departures=DEPARTURES[scale.preset]),
        caption="test errors by fraction bits, learning rate and rounding",
        settings={
            "preset": scale.preset,
            **{experiment: _words(part, scale) for experiment, part in parts.items()},
        },
        jobs=list(make_jobs(preset, scale)),
        conclude=partial(conclude, preset),
        draw=partial(draw, preset),
    )


def conclude(preset: GuptaPreset, results: Results) -> Sequence[Finding]:
    """Return the findings on G1 to G6."""
    return [
        *mlp_findings(preset.mlp, results),
        *cnn_findings(preset.cnns, results),
        products_finding(preset.products, results),
    ]


def _words(part: Part, scale: Scale) -> str:
    shares = ", ".join(f"{share:.0%}" for share in part.milestones)
    schedule = f"a tenth after {shares}" if part.schedule == "steps" else part.schedule
    return (
        f"{part.network}; {part.data}, {part.images:,} training images; {part.epochs} epochs, "
        f"batches of {part.batch_size}; SGD with rates {', '.join(f'{r:g}' for r in part.rates)} "
        f"({schedule}), momentum {part.momentum:g}, weight decay {part.weight_decay:g}; "
        f"{scale.seeds or part.seeds} seeds"
    )
