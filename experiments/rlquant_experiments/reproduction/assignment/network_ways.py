"""Ways to go on from learned layers by the loss of the whole network, with equal forward passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch.func import functional_call

from rlquant.data import take_samples
from rlquant.export.quantized_layers import dequantize
from rlquant.problem.refine import BATCH, REFINING, SAMPLES, Weights, across_layers, network_with
from rlquant.quantizers.rounding import layer_generator
from rlquant.samples import Samples
from rlquant.training.losses import distillation_loss
from rlquant.training.network_policy import Estimator
from rlquant_experiments.reproduction.assignment.lab import Lab
from rlquant_experiments.reproduction.assignment.presets import AssignmentPreset

ACROSS, CORRECTED, SCORE = "across layers", "across layers, corrected", "across layers, score"
NETWORK_FLIPS = "random flips of all layers, best"
NETWORK_WAYS = (ACROSS, CORRECTED, SCORE, NETWORK_FLIPS)
BATCHES_A_DRAW = 10
"""Batches by which a drawn network is evaluated: on one alone, chance would choose."""
TEMPERATURE = 2.0

AssignNetwork = Callable[[Lab, int, Weights], Weights]
"""A lab, a width and the learned layers in, other codes out."""


def network_ways(preset: AssignmentPreset) -> Mapping[str, AssignNetwork]:
    """Return the ways by name; a pass back counts for two forward."""
    return {
        ACROSS: partial(_across, "linear", 1, preset.forwards // 3),
        CORRECTED: partial(_across, "corrected", 2, preset.forwards // 6),
        SCORE: partial(_across, "score", 8, preset.forwards // 8),
        NETWORK_FLIPS: partial(_flips, preset),
    }


def _across(
    estimator: Estimator, samples: int, steps: int, lab: Lab, bits: int, start: Weights
) -> Weights:
    settings = replace(REFINING, estimator=estimator, samples=samples, steps=steps)
    return across_layers(
        lab.problem,
        lab.evaluator,
        lab.config(bits, "learned").canonical(),
        start,
        list(lab.layers),
        _training(lab),
        settings,
    )


def _flips(preset: AssignmentPreset, lab: Lab, bits: int, start: Weights) -> Weights:
    """Move as many weights as the policy across layers did, anywhere; keep the best draw."""
    learned = network_ways(preset)[ACROSS](lab, bits, start)
    moved = sum(int((learned[n].codes != start[n].codes).sum()) for n in lab.layers)
    rate = moved / sum(start[n].codes.numel() for n in lab.layers)
    between = {n: lab.neighbours(n, start[n]) for n in lab.layers}
    up = {n: between[n].going_up(start[n]) for n in lab.layers}
    samples = _training(lab)
    inputs = samples.first(BATCH * BATCHES_A_DRAW).inputs
    network = dequantize(network_with(lab.evaluator, lab.config(bits).canonical(), start))
    draws = layer_generator(lab.seed, "random flips")
    best, least = start, torch.inf
    with torch.no_grad():
        answers = lab.problem.network(*inputs)
        for _ in range(max(preset.forwards // BATCHES_A_DRAW, 1)):
            found = {
                n: between[n].assigned(up[n] ^ (torch.rand(up[n].shape, generator=draws) < rate))
                for n in lab.layers
            }
            weights = {f"{n}.weight": found[n].dequantize() for n in lab.layers}
            outputs = functional_call(network, weights, inputs)
            loss = float(distillation_loss(outputs, answers, TEMPERATURE))
            if loss < least:
                best, least = found, loss
    return best


def _training(lab: Lab) -> Samples:
    return take_samples(lab.task.train, SAMPLES, name="train", device=torch.device("cpu"))
