"""The loop: steps by hand, watchers, and runs that diverge at any step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.training.loop import make_optimizer
from rlquant.training.settings import TrainSettings
from rlquant.training.watching import WATCH_EVERY
from small_networks import samples_of
from training_runs import SHORT, each, float_network, mixed, outputs_of, same, train

CONSTANT = replace(SHORT, schedule="constant")
WILD = replace(SHORT, learning_rate=1e30, scale_rate=1e30, point_rate=1e30, bias_rate=1e30)


class TestAStep:
    def test_it_is_taken_at_the_projected_weight_and_applied_to_the_latent_one(self) -> None:
        """L = (wq - 1)^2 / 2 for w = 0.3 between the levels 0 and 1: g = -1, and w becomes 0.4."""

        def half_square(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            return 0.5 * (outputs[:, 0] - targets).square().sum(), torch.zeros(())

        network = nn.Sequential(nn.Linear(3, 1, bias=False))
        network[0].weight.data = torch.tensor([[0.0, 0.3, 1.0]])
        settings = TrainSettings(
            steps=1, optimizer="sgd", momentum=0.0, learning_rate=0.1, distillation_weight=0.0
        )
        config = QuantizationConfig((LayerChoice("0", 1, method="distilled", points="affine"),))
        data = torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1)
        trained, outcome = rlquant.train(
            network, config, data, objective=half_square, settings=settings
        )
        assert outcome.losses == (0.5,)
        latent = trained[0].parametrizations.weight.original
        torch.testing.assert_close(latent, torch.tensor([[0.0, 0.4, 1.0]]))
        assert trained[0].weight.tolist() == [[0.0, 0.0, 1.0]]

    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    def test_biases_move_by_their_own_rate(self, momentum: float) -> None:
        settings = replace(
            CONSTANT, steps=2, optimizer="sgd", momentum=momentum, bias_rate=0.3, batch_size=64
        )
        trained, _ = train("mlp", each("mlp", 4), settings=settings)
        inputs, targets = samples_of("mlp", 64, seed=1)
        by_hand = rlquant.quantize(float_network("mlp"), each("mlp", 4)).requires_grad_()
        biases = [by_hand.get_submodule(n).bias for n in ("first", "second", "last")]
        buffers = [torch.zeros_like(bias) for bias in biases]
        for _ in range(2):
            loss = cross_entropy(by_hand(inputs), targets)
            for bias, buffer, g in zip(
                biases, buffers, torch.autograd.grad(loss, biases), strict=True
            ):
                buffer.mul_(momentum).add_(g)
                bias.data -= 0.3 * (g + momentum * buffer)  # Nesterov's
        for name, bias in zip(("first", "second", "last"), biases, strict=True):
            torch.testing.assert_close(trained.get_submodule(name).bias, bias.detach())

    def test_the_schedule_scales_every_rate(self) -> None:
        """Both milestones are past at the second of two steps, which moves next to nothing."""
        once = replace(CONSTANT, steps=1)
        falling = replace(SHORT, steps=2, schedule="steps", milestones=(0.4,) * 9)
        first, second = (train("mlp", settings=s)[0].state_dict() for s in (once, falling))
        start = float_network("mlp").state_dict()
        assert not torch.equal(first["first.bias"], start["first.bias"])
        for name in ("first.bias", "second.bias", "last.bias"):
            torch.testing.assert_close(second[name], first[name])

    def test_optimizers(self) -> None:
        group = {"params": [torch.zeros(2, requires_grad=True)], "lr": 1.0, "base": 1.0}
        sgd = make_optimizer([group], replace(SHORT, optimizer="sgd", momentum=0.8))
        assert isinstance(sgd, torch.optim.SGD)
        assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
        plain = make_optimizer([group], replace(SHORT, optimizer="sgd", momentum=0.0))
        assert not plain.defaults["nesterov"]
        assert isinstance(make_optimizer([group], SHORT), torch.optim.AdamW)
        assert make_optimizer([], SHORT).param_groups


class Log:
    """A watcher that remembers, and stops a run where it is asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps: list[int] = []
        self.figures: list[Mapping[str, float]] = []
        self._stop_at = stop_at

    def __call__(self, step: int, figures: Mapping[str, float]) -> bool:
        self.steps.append(step)
        self.figures.append(dict(figures))
        return step == self._stop_at


class TestWatchers:
    @pytest.mark.parametrize(
        ("steps", "heard"), [(3, [3]), (10, [10]), (20, [10, 20]), (23, [10, 20, 23])]
    )
    def test_they_hear_every_ten_steps_and_after_the_last(
        self, steps: int, heard: list[int]
    ) -> None:
        assert WATCH_EVERY == 10
        log = Log()
        trained, outcome = train("mlp", settings=replace(SHORT, steps=steps), watch=log)
        assert log.steps == heard
        assert [f["steps_left"] for f in log.figures] == [steps - step for step in heard]
        assert outcome.steps == steps
        assert not outcome.stopped
        assert same(trained, train("mlp", settings=replace(SHORT, steps=steps))[0])

    def test_they_hear_the_mean_loss_and_that_of_the_labels_alone(self) -> None:
        log = Log()
        _, outcome = train("mlp", settings=replace(SHORT, steps=10), watch=log)
        assert log.figures[0]["loss"] == pytest.approx(sum(outcome.losses) / 10)
        assert log.figures[0]["cross_entropy"] != log.figures[0]["loss"]
        labels = Log()
        train("mlp", each("mlp", method="ternary"), watch=labels)
        assert labels.figures[0]["cross_entropy"] == labels.figures[0]["loss"]

    def test_a_run_ends_where_they_say_so(self) -> None:
        log = Log(stop_at=20)
        trained, outcome = train("mlp", settings=replace(CONSTANT, steps=50), watch=log)
        assert (outcome.steps, outcome.stopped, outcome.diverged) == (20, True, False)
        assert log.steps == [10, 20]
        assert same(trained, train("mlp", settings=replace(CONSTANT, steps=20))[0])

    def test_an_answer_of_nothing_goes_on(self) -> None:
        _, outcome = train("mlp", watch=lambda step, figures: None)
        assert (outcome.steps, outcome.stopped) == (20, False)


def test_losses_are_those_of_each_tenth_of_the_run() -> None:
    assert len(train("mlp", settings=replace(SHORT, steps=4))[1].losses) == 4
    ten = train("mlp", settings=replace(CONSTANT, steps=10))[1].losses
    twenty = train("mlp", settings=replace(CONSTANT, steps=20))[1].losses
    assert len(twenty) == 10
    for part in range(5):
        assert twenty[part] == pytest.approx(sum(ten[2 * part : 2 * part + 2]) / 2)


def test_epochs_count_where_no_steps_are_given() -> None:
    settings = TrainSettings(epochs=3, batch_size=20)
    _, outcome = train("mlp", settings=settings)
    assert outcome.steps == 3 * (64 // 20)
    loader = [samples_of("mlp", 8, seed=seed) for seed in range(5)]
    assert train("mlp", settings=settings, train_data=loader)[1].steps == 15


class NanFrom:
    """Cross-entropy that is NaN from its n-th call on."""

    name = "nan-from"

    def __init__(self, call: int, value: float = torch.nan) -> None:
        self._left, self._value = call - 1, value

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss = cross_entropy(outputs, targets, reduction="sum")
        self._left -= 1
        spoilt = loss * self._value if self._left < 0 else loss
        return spoilt, (outputs.argmax(dim=1) == targets).sum()


def nan_gradient(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return a finite loss whose gradient is NaN: the root has infinite slope at 0."""
    loss = cross_entropy(outputs, targets, reduction="sum")
    return loss + (outputs * 0).sqrt().sum(), torch.zeros(())


class TestDivergence:
    @pytest.mark.parametrize(
        ("call", "good", "steps", "value"),
        [
            (1, 0, 10, torch.nan),
            (7, 0, 10, torch.inf),
            (14, 9, 20, torch.nan),
            (20, 9, 20, torch.inf),
            (27, 19, 30, torch.nan),
        ],
    )
    def test_the_network_is_that_of_the_last_good_look(
        self, call: int, good: int, steps: int, value: float
    ) -> None:
        settings, log = replace(CONSTANT, steps=50), Log()
        trained, outcome = train(
            "mlp", settings=settings, objective=NanFrom(call, value), watch=log
        )
        assert outcome.diverged
        assert not outcome.stopped
        assert outcome.steps <= steps
        assert log.steps == list(range(10, good + 2, 10))
        if good:
            assert same(trained, train("mlp", settings=replace(CONSTANT, steps=good))[0])
        else:
            start = rlquant.quantize(float_network("mlp"), mixed("mlp").canonical())
            biases = [f"{layer}.bias" for layer in ("first", "second", "last")]
            assert all(torch.equal(trained.state_dict()[b], start.state_dict()[b]) for b in biases)
        assert outputs_of(trained, "mlp").isfinite().all()

    @pytest.mark.parametrize("name", ["mlp", "conv"])
    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_huge_rates_diverge_and_leave_a_network_that_works(
        self, name: str, optimizer: str
    ) -> None:
        settings = replace(WILD, optimizer=optimizer)  # type: ignore[arg-type]
        trained, outcome = train(name, settings=settings)
        assert outcome.diverged
        assert outputs_of(trained, name).isfinite().all()
        assert same(trained, train(name, settings=settings)[0])

    @pytest.mark.parametrize("steps", [1, 2, 10, 11])
    @pytest.mark.parametrize(
        "config",
        [
            each("mlp", method="ternary"),
            each("mlp", method="distilled"),
            each("mlp", points="learned"),
            each("mlp"),
            QuantizationConfig(()),
        ],
        ids=["ternary", "distilled", "points", "post-training", "kept"],
    )
    def test_a_gradient_that_is_nan_is_seen_at_any_step(
        self, config: QuantizationConfig, steps: int
    ) -> None:
        settings = replace(SHORT, steps=steps, distillation_weight=0.0)
        trained, outcome = train("mlp", config, settings=settings, objective=nan_gradient)
        assert outcome.diverged
        assert outputs_of(trained, "mlp").isfinite().all()

    @pytest.mark.parametrize("steps", [1, 10])
    def test_a_last_step_beyond_what_can_be_stored_is_seen(self, steps: int) -> None:
        settings = replace(WILD, steps=steps, bias_rate=0.0, schedule="constant")
        for config in (each("mlp", method="ternary"), each("mlp", points="learned")):
            trained, outcome = train("mlp", config, settings=settings)
            assert outcome.diverged
            assert outputs_of(trained, "mlp").isfinite().all()

    def test_a_network_that_is_stopped_works_even_after_a_step_too_far(self) -> None:
        settings = replace(SHORT, steps=20, distillation_weight=0.0)
        trained, outcome = train(
            "mlp",
            each("mlp", method="distilled"),
            settings=settings,
            objective=SpoiltAt(10),
            watch=Log(stop_at=10),
        )
        assert outcome.diverged
        assert outputs_of(trained, "mlp").isfinite().all()


class SpoiltAt:
    """Cross-entropy whose gradient alone is NaN at its n-th call."""

    name = "spoilt-at"

    def __init__(self, call: int) -> None:
        self._left = call

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self._left -= 1
        if self._left == 0:
            return nan_gradient(outputs, targets)
        return cross_entropy(outputs, targets, reduction="sum"), torch.zeros(())


def test_a_loss_that_ends_far_above_its_start_is_said_and_the_best_state_kept() -> None:
    """A rate that is too large but keeps every loss finite."""
    settings = replace(
        CONSTANT, steps=3 * WATCH_EVERY, optimizer="sgd", learning_rate=0.0, bias_rate=30.0
    )
    trained, outcome = train("mlp", each("mlp", 8), settings=settings)
    assert outcome.diverged
    assert outcome.finite
    inputs, targets = samples_of("mlp", 64, seed=1)
    assert float(cross_entropy(trained(inputs), targets)) < outcome.losses[-1]
