"""The experiments on Gupta's claims: what is run, and what is concluded of invented numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from rlquant.training.settings import FixedPoint
from rlquant_experiments.reproduction.gupta.experiments import conclude, gupta
from rlquant_experiments.reproduction.gupta.networks import cnn, gaussian, mlp
from rlquant_experiments.reproduction.gupta.panels import draw
from rlquant_experiments.reproduction.gupta.per_product import per_product
from rlquant_experiments.reproduction.gupta.presets import PRESETS, QUICK
from rlquant_experiments.reproduction.gupta.variants import cnn_variants, fixed_point, mlp_variants
from rlquant_experiments.reproduction.reproduction import Preset, Scale
from rlquant_experiments.reproduction.runs import Results, Run

JOBS = gupta(Scale()).jobs


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_its_runs_apart(preset: Preset) -> None:
    jobs = gupta(Scale(preset, seeds=4)).jobs
    assert len({job.name for job in jobs}) == len({job.key for job in jobs}) == len(jobs)
    assert {job.seed for job in jobs} == {0, 1, 2, 3}
    assert all(job.steps >= 1 for job in jobs)


def test_there_are_at_least_three_seeds() -> None:
    assert {job.seed for job in JOBS if job.experiment == "cnn"} >= {0, 1, 2}
    assert {job.seed for job in JOBS if job.experiment == "products"} >= {0, 1, 2}


def test_words_have_16_bits_and_20_at_the_end() -> None:
    for arithmetic in (*mlp_variants().values(), *cnn_variants().values()):
        if arithmetic is not None:
            assert arithmetic.integer_bits + arithmetic.fraction_bits == 16
            assert sum(arithmetic.output_format) == 16
            wide = arithmetic.widened()
            assert wide.integer_bits + wide.fraction_bits in (16, 20)
    assert fixed_point("SR", 14) == FixedPoint(2, 14, output_integer_bits=6)


def test_first_weights_depend_on_the_seed_alone() -> None:
    make = gaussian(mlp(16))
    one, two, other = (make((1, 8, 8), 10, seed) for seed in (0, 0, 1))
    assert torch.equal(one.hidden1.weight, two.hidden1.weight)
    assert not torch.equal(one.hidden1.weight, other.hidden1.weight)
    assert float(one.hidden1.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not one.hidden1.bias.any()


def test_the_convolutional_network_fits_its_images() -> None:
    network = cnn(8, 16, kernel=5, hidden=128)((1, 28, 28), 10, 0)
    assert network.hidden.in_features == 256
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


# --- products


def test_rounding_each_product_differs_from_rounding_the_sum() -> None:
    layer = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(0.6)
    network = per_product(nn.Sequential(layer), FixedPoint(4, 2, "nearest"), 0)
    x = torch.full((1, 4), 0.5, dtype=torch.float64)
    assert float(network(x).detach()) == 1.0
    assert float(layer(x).detach()) == pytest.approx(1.2)


def test_products_are_rounded_in_gradients_too() -> None:
    layer = nn.Linear(3, 2).double()
    network = per_product(nn.Sequential(layer), FixedPoint(8, 3, "nearest"), 0)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    (network(x) * 0.3).sum().backward()
    for gradient in (x.grad, network[0].weight.grad):
        assert gradient is not None
        assert torch.equal(gradient * 8, (gradient * 8).round())
        assert gradient.any()
    exact = torch.full((2,), 5 * 0.3, dtype=torch.float64)  # a bias has no product
    assert torch.allclose(network[0].bias.grad, exact)


def test_stochastic_products_are_right_on_average() -> None:
    layer = nn.Linear(50, 400, bias=False).double()
    network = per_product(nn.Sequential(layer), FixedPoint(8, 4), 0)
    x = torch.rand(10, 50, dtype=torch.float64)
    error = (network(x) - layer(x)).detach()
    # 4000 sums of 50 products, each off by at most half of 1/16 in standard deviation
    assert abs(float(error.mean())) < 4 * 0.5 / 16 * math.sqrt(50 / 4000)
    assert float(error.std()) > 0.05


# --- conclusions


def results_of(error: Callable[[str, str, int], float]) -> Results:
    """Every run of the quick preset, with invented numbers."""
    runs = []
    for job in JOBS:
        figures = {
            "test_error": error(job.experiment, job.variant, job.seed),
            "validation_error": error(job.experiment, job.variant, job.seed),
            "start_error": 90.0,
            "train_losses": [2.0, 1.0],
            "lost_updates": 0.99 if "nearest" in job.variant else 0.9,
            "update_bias": -0.04 if "nearest" in job.variant else 1e-6 * (job.seed - 1),
            "update_bias_error": 1e-5,
            "saturated_outputs": 0.8,
        }
        runs.append(Run(job.experiment, job.variant, job.seed, figures, 1.0))
    return Results(runs)


def as_the_paper(experiment: str, variant: str, seed: int) -> float:
    bits = next((b for b in (14, 12, 10, 8, 4, 3) if f",{b}>" in variant), 16)
    level = 13.0 + 0.1 * seed + (0.3 if "rate 0.2" not in variant else 0.0)
    if "last" in variant:
        return level + 0.05
    if "nearest" in variant:
        return level + 0.2 + 3.0 ** (14 - bits) / 10
    return level + (0.0 if variant.startswith("float") else (16 - bits) * 0.05)


def test_numbers_like_the_papers_reproduce_it() -> None:
    findings = conclude(QUICK, results_of(as_the_paper))
    assert [f.claim.id for f in findings] == ["G1", "G2", "G3", "G4", "G5", "G6"]
    assert [f.verdict for f in findings] == ["reproduced"] * 6
    assert all(f.claim.paper_figure == "direction" for f in findings)
    assert "rate 0.2" in findings[0].note


def test_numbers_against_the_paper_do_not() -> None:
    def error(experiment: str, variant: str, seed: int) -> float:
        return 100.0 - as_the_paper(experiment, variant, seed) / 2

    verdicts = {f.claim.id: f.verdict for f in conclude(QUICK, results_of(error))}
    assert verdicts["G2"] == verdicts["G4"] == verdicts["G5"] == "not reproduced"
    assert verdicts["G6"] == "not reproduced"


def test_without_a_gap_there_is_nothing_to_repair() -> None:
    (finding,) = [f for f in conclude(QUICK, results_of(lambda *_: 10.0)) if f.claim.id == "G5"]
    assert finding.ours == "cnn: no gap"


def test_the_figure_has_a_panel_for_each_claim() -> None:
    titles = " ".join(panel.title for panel in draw(QUICK, results_of(as_the_paper)))
    assert all(f"G{number}" in titles for number in range(1, 7))
