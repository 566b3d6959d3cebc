"""The experiments as the shared parts take them, with the words around them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.reproduction import Preset, Reproduction, Scale
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.ttq.depth_findings import depth_findings
from rlquant_experiments.reproduction.ttq.jobs import RATE_SEED, make_jobs
from rlquant_experiments.reproduction.ttq.panels import draw
from rlquant_experiments.reproduction.ttq.presets import FIRST_LAYER, PRESETS, TtqPreset
from rlquant_experiments.reproduction.ttq.scales_finding import scales_finding
from rlquant_experiments.reproduction.ttq.size_finding import size_finding
from rlquant_experiments.reproduction.ttq.sparsity_finding import sparsity_finding
from rlquant_experiments.reproduction.ttq.variants import SCALES, THRESHOLD

INTRODUCTION = (
    "Every run begins at a float network, trained once for each seed and depth, and goes on from "
    "there with latent float weights. The float control goes on for as many epochs, in the same "
    "loop, with the same batches. The first convolution stays float and trains on; every other "
    "layer is ternary, the projection shortcuts and the classifier too. (The paper says that first "
    "and last layer stay float; its released code for CIFAR-10 excludes only the first, as the "
    f"name that it looks for is not the classifier's. This follows the code: {FIRST_LAYER!r} is "
    "excluded by name, `classifier` is not.) A weight is 0 where it is at most t = "
    f"{THRESHOLD:g} of the largest |w| of its layer; scales begin at 1, have no weight decay, and "
    "the gradient of Wn has the sign of the derivative (the printed one lacks a minus). What is "
    "measured has quantized weights.\n\nOther than in the paper: {departures}"
)
NORMS = (
    "The statistics of BatchNorm are re-estimated at the end from 1,000 training images, for the "
    "float control as well."
)
DEPARTURES: dict[Preset, str] = {
    "quick": "Fashion-MNIST instead of CIFAR-10, its first 10,000 training images, averaged over "
    "2x2 pixels to 14x14; residual networks of half the width and of 8, 14 and 20 layers instead "
    "of 20 to 56; 5 epochs of Adam (which the paper has on ImageNet) along a cosine instead of 400 "
    f"of SGD. {NORMS}",
    "paper": "momentum is Nesterov's; 45,000 training images, as 5,000 validate; shortcuts are "
    "projections; float networks are trained for 200 epochs along one cycle; no moving average "
    f"over epochs is reported. {NORMS}",
    "tiny": "everything is so small that the numbers mean nothing; this preset shows that it runs.",
}


def ttq(scale: Scale) -> Reproduction:
    """Return the experiments on the claims T1 to T5."""
    preset = PRESETS[scale.preset]
    return Reproduction(
        paper="ttq",
        title="Zhu et al. 2016: trained ternary quantization",
        introduction=INTRODUCTION.format(departures=DEPARTURES[scale.preset]),
        caption="test errors by depth, by scales and by share of zeros",
        settings={"preset": scale.preset, **_words(preset, scale)},
        jobs=list(make_jobs(preset, scale)),
        conclude=partial(conclude, preset),
        draw=partial(draw, preset),
    )


def conclude(preset: TtqPreset, results: Results) -> Sequence[Finding]:
    """Return the findings on T1 to T5."""
    return [
        *depth_findings(preset, results),
        scales_finding(preset, results),
        sparsity_finding(preset, results),
        size_finding(preset, results),
    ]


def _words(preset: TtqPreset, scale: Scale) -> dict[str, str]:
    start, tuning = preset.start, preset.tuning
    rates = ", ".join(f"{name} {preset.chosen[name]:g}" for name in SCALES)
    chosen = (
        f"one rate for latent weights, scales, biases and BatchNorm: {rates}; chosen among "
        f"{', '.join(f'{rate:g}' for rate in preset.rates)} by validation error with seed "
        f"{RATE_SEED}, which no comparison has, on {preset.smallest} (TTQ and the float control "
        f"on {preset.experiment(preset.blocks[-1])} too); at every share of zeros that of TTQ"
    )
    return {
        "data": f"{preset.data}, {preset.images:,} training and {preset.validation_images:,} "
        f"validation images",
        "networks": f"residual, stages of {', '.join(map(str, preset.widths))} channels, "
        f"{', '.join(map(str, preset.blocks))} blocks a stage; T3 and T4 on {preset.smallest}",
        "float start": f"{start.epochs} epochs, batches of {start.batch_size}; SGD, one-cycle rate "
        f"up to {start.learning_rate:g}, weight decay {start.weight_decay:g}",
        "then": f"{tuning.epochs} epochs, batches of {tuning.batch_size}; {tuning.optimizer} "
        f"({tuning.schedule}), weight decay {tuning.weight_decay:g}",
        "rates": chosen if len(preset.rates) > 1 else f"{preset.rates[0]:g}, the paper's",
        "seeds": str(scale.seeds or preset.seeds),
    }
