"""The experiments on assignments as the shared parts take them, with the words around them."""

from __future__ import annotations

from functools import partial

from rlquant.problem.refine import BATCH, REFINING, SAMPLES
from rlquant_experiments.reproduction.assignment.findings import conclude
from rlquant_experiments.reproduction.assignment.jobs import make_jobs
from rlquant_experiments.reproduction.assignment.network_ways import BATCHES_A_DRAW, TEMPERATURE
from rlquant_experiments.reproduction.assignment.panels import draw
from rlquant_experiments.reproduction.assignment.presets import PRESETS
from rlquant_experiments.reproduction.reproduction import Reproduction, Scale

INTRODUCTION = (
    "Polino et al. leave to future work that reinforcement learning decides which point a weight "
    "goes to. Here it does: every weight has a chance of going up to the next point or down, all "
    "act at once, and what they earn is minus a loss. Layer by layer the loss is the error of the "
    "layer's outputs, by the moments of its inputs on 512 training images, each output channel "
    "earning its own part; across layers it is the distillation loss of the whole network (the "
    "float network is the teacher). All layers have the same width, one scale a channel that clips "
    "where the squared error is least; all ways share these grids. Networks are calibrated before "
    "they are measured (statistics of BatchNorm, biases). Seeds are float networks, trained from "
    "their own first weights.\n\n"
    "Layer by layer, the policy scores {draws:,} assignments ({steps} steps of {samples}); "
    "'stochastic, best' and 'random flips, best' draw as many, of which every channel keeps its "
    "best; random flips leave nearest rounding as often as the policy does. The relaxation is "
    "AdaRound's, with {steps} steps. **learned** is the library's rounding: in each channel the "
    "better of GPTQ and relaxation, each with coordinate descent, a policy from there, "
    "and descent again. Ways across layers begin at it and have {forwards:,} passes of {batch} of "
    "{images:,} training images, where a pass back counts for two: **across layers** takes the "
    "loss to first order around each sample, 'corrected' adds the score function of what that "
    "leaves, 'score' is the score function with leave-one-out baseline alone. 'random flips of all "
    "layers, best' moves as many weights as 'across layers' did and keeps the best draw, each "
    "scored on {scored:,} images. Rates and starts of the policies were chosen by the validation "
    "loss, those of layers' policies by their own error, on the networks of seed 0; the test set "
    "chose nothing."
)


def assignment(scale: Scale) -> Reproduction:
    """Return the experiments on the claims A1 to A6."""
    preset = PRESETS[scale.preset]
    return Reproduction(
        paper="assignment",
        title="Reinforcement learning for which point a weight goes to",
        introduction=INTRODUCTION.format(
            draws=preset.draws,
            steps=preset.steps,
            samples=preset.samples,
            forwards=preset.forwards,
            batch=BATCH,
            images=SAMPLES,
            scored=BATCH * BATCHES_A_DRAW,
        ),
        caption="layer errors and validation losses by way of assignment",
        settings={
            "preset": scale.preset,
            "tasks": ", ".join(preset.tasks),
            "bits": ", ".join(map(str, preset.bits)),
            "across layers": f"rate {REFINING.rate:g}, start {REFINING.start:g}, prior "
            f"{REFINING.prior:g}, temperature {TEMPERATURE:g}",
            "seeds": str(scale.seeds or preset.seeds),
        },
        jobs=list(make_jobs(preset, scale)),
        conclude=partial(conclude, preset),
        draw=partial(draw, preset),
    )
