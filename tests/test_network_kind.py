"""Kinds of networks."""

from __future__ import annotations

from torch import nn

from rlquant.network_kind import is_transformer_like


class LlamaRMSNorm(nn.Module):
    pass


def test_token_norms_without_batch_norms_make_a_transformer() -> None:
    assert is_transformer_like(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    assert is_transformer_like(nn.Sequential(LlamaRMSNorm()))
    assert not is_transformer_like(nn.Sequential(nn.Linear(2, 2)))
    assert not is_transformer_like(nn.Sequential(nn.LayerNorm(2), nn.BatchNorm1d(2)))
