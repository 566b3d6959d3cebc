"""Polino's experiments as the shared parts take them, with the words around them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.polino.ablation_finding import ablation_finding
from rlquant_experiments.reproduction.polino.compression_findings import compression_findings
from rlquant_experiments.reproduction.polino.jobs import make_jobs
from rlquant_experiments.reproduction.polino.numeric_findings import depth_finding, noise_finding
from rlquant_experiments.reproduction.polino.panels import draw
from rlquant_experiments.reproduction.polino.presets import PRESETS, PolinoPreset
from rlquant_experiments.reproduction.polino.size_findings import size_findings
from rlquant_experiments.reproduction.polino.training import BUCKET, CALIBRATION_IMAGES
from rlquant_experiments.reproduction.reproduction import Preset, Reproduction, Scale
from rlquant_experiments.reproduction.runs import Results

INTRODUCTION = (
    "A large float *teacher* is trained on labels, a small *student* follows it (0.7 of the loss "
    "is tau^2 KL(teacher || student) at tau = 2, a mean over images; 0.3 is the cross-entropy of "
    "the labels). **PM** (post-mortem) quantizes the distilled float student without training, to "
    "equally spaced points between minimum and maximum of each bucket. **QD** (quantized "
    "distillation) trains a student from fresh weights while its weights are projected to such "
    "points at every step, with straight-through gradients to latent weights. **DQ** "
    "(differentiable quantization) freezes the distilled student's weights and trains where its "
    "points lie, one set for each layer. Buckets have {bucket} weights. All weights of all layers "
    "are quantized, the first and the last too; biases and BatchNorm stay in float (the released "
    "code quantizes these as well). At the end of every training BatchNorm's statistics are taken "
    "again over {images} training images; PM keeps those of the float network, as in the paper. "
    "Students have no dropout.\n\nOther than in the paper: {departures}"
)
DEPARTURES: dict[Preset, str] = {
    "quick": "Fashion-MNIST instead of CIFAR-10, its first 10,000 training images, networks "
    "twenty to forty times smaller, with strides in place of pooling, 8 epochs at a larger rate, "
    "which falls along a cosine. There are as many teachers as seeds.",
    "paper": "the rate falls along a cosine; the released code halves it by the test set. The "
    "deeper student is wider than was read in a source.",
    "tiny": "everything is so small that the numbers mean nothing; this preset shows that it runs.",
}


def polino(scale: Scale) -> Reproduction:
    """Return the experiments on the claims P1 to P10."""
    preset = PRESETS[scale.preset]
    networks = {
        "teacher": preset.teacher,
        "student": preset.student,
        "smallest student": preset.small,
        "deeper student": preset.deeper,
    }
    return Reproduction(
        paper="polino",
        title="Polino et al. 2018: distillation and quantization",
        introduction=INTRODUCTION.format(
            bucket=BUCKET, images=CALIBRATION_IMAGES, departures=DEPARTURES[scale.preset]
        ),
        caption="test errors by bits and method, heuristics of DQ, noise of stochastic rounding",
        settings={
            "preset": scale.preset,
            "data": f"{preset.data}, {preset.images:,} training images",
            **{role: network.words for role, network in networks.items()},
            "training of teachers, students and QD": _words(preset.training),
            "training of DQ": _words(preset.points_training),
            "seeds": f"{scale.seeds or preset.seeds} (P7: {preset.noise.seeds}, P10: "
            f"{preset.depth.seeds})",
        },
        jobs=list(make_jobs(preset, scale)),
        conclude=partial(conclude, preset),
        draw=partial(draw, preset),
    )


def conclude(preset: PolinoPreset, results: Results) -> Sequence[Finding]:
    """Return the findings on P1 to P10."""
    deeper, formula, lengths = size_findings(results)
    return [
        *compression_findings(preset, results),
        ablation_finding(preset, results),
        deeper,
        noise_finding(preset, results),
        formula,
        lengths,
        depth_finding(preset, results),
    ]


def _words(settings: TrainSettings) -> str:
    trained = (
        f"rate {settings.learning_rate:g}, weight decay {settings.weight_decay:g}"
        if settings.bias_rate
        else f"points alone, rate {settings.point_rate:g}"
    )
    return (
        f"{settings.epochs} epochs, batches of {settings.batch_size}; SGD, Nesterov momentum "
        f"{settings.momentum:g}, {trained}, falling along a cosine; tau {settings.temperature:g}, "
        f"weight {settings.distillation_weight:g} of the teacher's part, where there is one"
    )
