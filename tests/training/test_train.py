"""`rlquant.train`: a mix of every method in one run, and what it may and may not change."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import rlquant
from rlquant import EvaluationSettings
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.network.modules import quantized_weight
from small_networks import FEATURES, NETWORKS, Mlp, fresh, samples_of
from training_runs import (
    CHOICES,
    LONG,
    SHORT,
    codes_of,
    each,
    float_network,
    group_values,
    hash_of,
    outputs_of,
    same,
    train,
    train_from_scratch,
)

ROOT = Path(__file__).parents[2]


class TestMixed:
    @pytest.mark.parametrize("name", CHOICES)
    def test_the_training_loss_falls(self, name: str) -> None:
        network, teacher = fresh(NETWORKS[name].build), float_network(name)
        _, outcome = train(name, network=network, teacher=teacher, settings=LONG)
        assert outcome.steps == 60
        assert len(outcome.losses) == 10
        assert (outcome.diverged, outcome.stopped) == (False, False)
        assert sum(outcome.losses[-3:]) < 0.9 * sum(outcome.losses[:3])
        assert outcome.seconds > 0

    @pytest.mark.parametrize("name", CHOICES)
    def test_every_layer_is_stored_as_its_choice_says(self, name: str) -> None:
        trained, _ = train(name)
        for choice in CHOICES[name]:
            found = quantized_weight(trained.get_submodule(choice.layer))
            assert found is not None
            assert found.choice == choice
            assert group_values(trained, choice.layer) <= (
                3 if choice.method == "ternary" else 2**choice.bits
            )
        assert not any(module.training for module in trained.modules())
        assert not any(p.requires_grad for p in trained.parameters())
        assert type(trained) is NETWORKS[name].build

    @pytest.mark.parametrize("name", CHOICES)
    def test_what_was_trained_is_what_is_saved_and_loaded(self, name: str, tmp_path: Path) -> None:
        trained, _ = train(name)
        rlquant.save(trained, tmp_path / "trained.rlq")
        loaded = rlquant.load(tmp_path / "trained.rlq", fresh(NETWORKS[name].build, seed=9))
        assert torch.equal(outputs_of(loaded, name), outputs_of(trained, name))
        assert torch.equal(outputs_of(rlquant.dequantize(trained), name), outputs_of(trained, name))

    def test_frozen_codes_and_kept_weights_stay_and_the_rest_moves(self) -> None:
        choices = [c for c in CHOICES["conv"] if c.layer != "conv"]
        config = QuantizationConfig((*choices, LayerChoice("conv", 32, method="float")))
        trained, _ = train("conv", config, settings=LONG)
        plain = rlquant.quantize(float_network("conv"), config, samples_of("conv", 512))
        assert torch.equal(codes_of(trained, "stem"), codes_of(plain, "stem"))
        for layer in ("stem", "shortcut", "grouped", "classifier"):
            before, after = (n.get_submodule(layer).weight for n in (plain, trained))
            assert torch.equal(before, after) is (layer == "stem")  # type: ignore[arg-type]
        start, end = float_network("conv").state_dict(), trained.state_dict()
        assert torch.equal(end["conv.weight"], start["conv.weight"])
        for name in ("grouped.bias", "classifier.bias", "conv_norm.weight", "stem_norm.bias"):
            assert not torch.equal(end[name], start[name]), name

    def test_learned_points_move_and_their_latent_weights_do_not(self) -> None:
        config = QuantizationConfig((LayerChoice("second", 2, points="learned"),))
        trained, _ = train("mlp", config)
        found = quantized_weight(trained.get_submodule("second"))
        plain = rlquant.quantize(float_network("mlp"), each("mlp", 2, points="quantile"))
        start = quantized_weight(plain.get_submodule("second"))
        assert found is not None
        assert start is not None
        for field in ("scale", "offset"):
            assert torch.equal(getattr(found.tensor, field), getattr(start.tensor, field))
        assert found.tensor.values is not None
        assert start.tensor.values is not None
        assert not torch.equal(found.tensor.values, start.tensor.values)
        assert (found.tensor.values.float().diff() >= 0).all()
        latent = trained.get_submodule("second").parametrizations.weight.original  # type: ignore[union-attr]
        assert torch.equal(latent, float_network("mlp").second.weight)

    def test_the_users_networks_and_data_are_left_as_they_are(self) -> None:
        network, teacher = fresh(NETWORKS["conv"].build).train(), fresh(NETWORKS["conv"].build, 5)
        data = samples_of("conv", 64, seed=1)
        before = [hash_of(network), hash_of(teacher), *(tensor.clone() for tensor in data)]
        train("conv", network=network, teacher=teacher, train_data=data)
        assert [hash_of(network), hash_of(teacher)] == before[:2]
        assert all(torch.equal(a, b) for a, b in zip(data, before[2:], strict=True))
        for parameter in (*network.parameters(), *teacher.parameters()):
            assert parameter.grad is None
            assert parameter.requires_grad
        assert network.training

    def test_the_teacher_decides_what_distilled_layers_learn(self) -> None:
        teacher = fresh(Mlp, seed=8)
        own, _ = train("mlp")
        same_teacher, _ = train("mlp", teacher=float_network("mlp"))
        other, _ = train("mlp", teacher=teacher)
        assert same(own, same_teacher)
        assert not same(own, other)
        alone = each("mlp", method="ternary")
        assert same(train("mlp", alone)[0], train("mlp", alone, teacher=teacher)[0])

    def test_labels_alone_count_without_a_share_of_the_teacher(self) -> None:
        settings = replace(SHORT, distillation_weight=0.0)
        teacher = fresh(Mlp, seed=8)
        assert same(
            train("mlp", settings=settings)[0], train("mlp", settings=settings, teacher=teacher)[0]
        )

    @pytest.mark.parametrize("from_scratch", [False, True])
    def test_statistics_of_batch_norms_are_those_of_the_network_that_comes_out(
        self, from_scratch: bool
    ) -> None:
        images, labels = samples_of("conv", 64, seed=1)
        network = fresh(NETWORKS["conv"].build) if from_scratch else float_network("conv")
        trained, _ = train("conv", network=network, train_data=(images, labels), settings=LONG)
        means = []
        for each_network in (network, trained):
            with torch.no_grad():
                outputs = each_network.get_submodule("stem")(images)
            means.append(outputs.mean(dim=(0, 2, 3)))
        norm, before = (n.get_submodule("stem_norm") for n in (trained, network))
        moved = before.running_mean + means[1] - means[0]  # type: ignore[operator]
        expected = means[1] if from_scratch else moved
        torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)
        if from_scratch:
            variance = outputs.var(dim=(0, 2, 3), correction=0)
            torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
        few, _ = train("conv", settings=LONG, evaluation=EvaluationSettings(calibration_samples=32))
        assert not torch.equal(few.get_submodule("stem_norm").running_mean, norm.running_mean)

    def test_a_network_with_nothing_to_train_is_only_quantized(self) -> None:
        network = nn.Sequential(nn.Linear(FEATURES, 3, bias=False))
        config = QuantizationConfig((LayerChoice("0", 4),))
        trained, outcome = train("mlp", config, network=network)
        plain = rlquant.quantize(network, config)
        assert torch.equal(outputs_of(trained, "mlp"), outputs_of(plain, "mlp"))
        assert outcome.steps == 20


class TestFloatControl:
    """No quantized layer: the same loop trains the float network."""

    def test_biases_train_and_kept_weights_only_where_asked_for(self) -> None:
        start = float_network("conv").state_dict()
        nothing = QuantizationConfig(())
        for kept in (False, True):
            trained, _ = train("conv", nothing, settings=replace(SHORT, train_kept=kept))
            end = trained.state_dict()
            for name in ("stem.weight", "conv.weight", "classifier.weight"):
                assert torch.equal(end[name], start[name]) is not kept
            assert not torch.equal(end["classifier.bias"], start["classifier.bias"])

    def test_kept_layers_beside_quantized_ones_train_and_frozen_codes_do_not(self) -> None:
        config = QuantizationConfig(
            (LayerChoice("first", 32, method="float"), LayerChoice("second", 4))
        )
        trained, _ = train("mlp", config, settings=replace(SHORT, train_kept=True))
        start, end = float_network("mlp").state_dict(), trained.state_dict()
        assert not torch.equal(end["first.weight"], start["first.weight"])
        assert not torch.equal(end["last.weight"], start["last.weight"])
        plain = rlquant.quantize(float_network("mlp"), config)
        assert torch.equal(codes_of(trained, "second"), codes_of(plain, "second"))


class TestSeeds:
    @pytest.mark.parametrize("name", CHOICES)
    def test_the_same_seed_gives_the_same_network(self, name: str) -> None:
        first, other = train(name, seed=3)[0], train(name, seed=4)[0]
        torch.manual_seed(99)
        again, outcome = train(name, seed=3)
        assert same(first, again)
        assert not same(first, other)
        assert outcome.losses == train(name, seed=3)[1].losses

    def test_another_process_gives_the_same_network(self) -> None:
        ran = subprocess.run(
            [sys.executable, "-c", CHILD],
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split() == [hash_of(train_from_scratch(name)) for name in CHOICES]

    def test_the_state_of_all_other_randomness_is_left_alone(self) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        train(
            "conv",
            network=nn.Sequential(fresh(NETWORKS["conv"].build), nn.Dropout(0.2)),
            config=QuantizationConfig((LayerChoice("0.conv", 3, method="distilled"),)),
        )
        assert torch.equal(torch.get_rng_state(), before)

    def test_dropout_depends_on_the_seed_alone(self) -> None:
        network = nn.Sequential(fresh(Mlp), nn.Dropout(0.5))
        config = QuantizationConfig((LayerChoice("0.second", 3, method="distilled"),))
        runs = []
        for other_seed in (1, 2):
            torch.manual_seed(other_seed)
            runs.append(train("mlp", config, network=network)[0])
        assert same(*runs)
        assert not same(runs[0], train("mlp", config, network=network, seed=1)[0])

    def test_without_dropout_nothing_is_dropped(self) -> None:
        network = nn.Sequential(fresh(Mlp), nn.Dropout(0.5))
        config = QuantizationConfig((LayerChoice("0.second", 3, method="distilled"),))
        kept = replace(SHORT, dropout=False)
        runs = [train("mlp", config, network=network, settings=kept, seed=0)[0]]
        network[1].p = 0.0
        runs.append(train("mlp", config, network=network, settings=SHORT, seed=0)[0])
        assert same(*runs)


CHILD = """
import torch
from training_runs import CHOICES, hash_of, train_from_scratch

torch.set_num_threads(1)
print(*(hash_of(train_from_scratch(name)) for name in CHOICES))
"""
