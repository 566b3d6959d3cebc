"""The encoder over layers: what it is before it has learned, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import torch
from made_landscapes import made_landscape

from rlquant.ambient import seeded
from rlquant_experiments.layer_policy.encoder import LayerEncoder
from rlquant_experiments.layer_policy.examples import examples_of, solution_of
from rlquant_experiments.layer_policy.features import FEATURES, features_of, kind_of


def test_a_new_encoder_corrects_nothing() -> None:
    examples = examples_of([made_landscape()])
    found = LayerEncoder(len(FEATURES))(examples.features, examples.own)
    assert (found.mean == 0).all()
    assert (found.deviation > 0).all()


def test_padding_changes_nothing() -> None:
    """A network's corrections are the same beside one of more layers."""
    small, large = made_landscape(4, 1), made_landscape(9, 2)
    with seeded(0):
        encoder = LayerEncoder(len(FEATURES))
        torch.nn.init.normal_(encoder.head.weight)
    alone, both = examples_of([small]), examples_of([small, large])
    with torch.no_grad():
        one = encoder(alone.features, alone.own).mean[0]
        other = encoder(both.features, both.own).mean[0, :4]
    assert one.abs().max() > 0.01
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_padded_rows_and_layers_count_nothing() -> None:
    small, large = made_landscape(4, 1, rows=10), made_landscape(9, 2, rows=20)
    both = examples_of([small, large])
    predicted = both.predicted(torch.zeros_like(both.logs))
    known = ~both.targets.isnan()
    torch.testing.assert_close(predicted[known], both.targets[known], atol=1e-4, rtol=1e-4)
    assert known.sum(dim=1).tolist() == [10, 20]


def test_features_do_not_depend_on_the_unit_of_the_loss() -> None:
    one = made_landscape(6, 3)
    solution = solution_of(one, one.limits[0])
    found = features_of(one, solution, one.limits[0])
    one.increases[:] *= 1000.0
    np.testing.assert_allclose(features_of(one, solution, one.limits[0]), found, atol=1e-9)


def test_roles_are_known_by_name() -> None:
    assert kind_of("model.layers.3.self_attn.k_proj", False, False) == "query or key"
    assert kind_of("encoder.layer.0.attention.output.dense", False, False) == "attention output"
    assert kind_of("encoder.layer.0.output.dense", False, False) == "contraction"
    assert kind_of("_blocks.3._depthwise_conv", True, False) == "depthwise"
    assert kind_of("layers.3.attention.query_key_value", False, False) == "value"
    assert kind_of("vit.embeddings.patch_embeddings.projection", True, False) == "convolution"
    assert kind_of("stage1.0.conv1", True, False) == "convolution"
    assert kind_of("classifier", False, True) == "head"
