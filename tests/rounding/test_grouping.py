"""Groups: every weight in one, similar ones together, sums and means that add up."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from rlquant.rounding.grouping import Grouping
from strategies import seeded

POSITION = torch.tensor([[[0.9, 0.1, 0.5, 0.2, 0.8]]])


def test_groups_by_hand() -> None:
    grouping = Grouping.of(POSITION, 2)
    assert grouping.index.tolist() == [[[2, 0, 1, 0, 1]]]
    assert grouping.sizes.tolist() == [[[2, 2, 1]]]
    torch.testing.assert_close(grouping.sums(POSITION), torch.tensor([[[0.3, 1.3, 0.9]]]))
    torch.testing.assert_close(grouping.means(POSITION), torch.tensor([[[0.15, 0.65, 0.9]]]))
    up = torch.tensor([[[False, False, True]]])
    assert grouping.spread(up).tolist() == [[[True, False, False, False, False]]]
    assert grouping.spread(up[None]).shape == (1, 1, 1, 5)


def test_alone_weights_keep_their_order() -> None:
    grouping = Grouping.of(POSITION, 1)
    assert grouping.index.tolist() == [[[0, 1, 2, 3, 4]]]
    assert torch.equal(grouping.means(POSITION), POSITION)
    assert torch.equal(grouping.spread(POSITION), POSITION)


@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 9), st.integers(1, 12))
def test_what_groups_have_together_the_weights_have(
    seed: int, channels: int, fan_in: int, size: int
) -> None:
    position = torch.rand(2, channels, fan_in, generator=seeded(seed))
    grouping = Grouping.of(position, size)
    assert grouping.sizes.max() <= size
    assert (grouping.sizes >= 1).all()
    torch.testing.assert_close(grouping.sums(position).sum(dim=-1), position.sum(dim=-1))
    means = grouping.means(position)
    assert (means.diff(dim=-1) >= -1e-6).all() or size == 1
    torch.testing.assert_close(grouping.means(grouping.spread(means)), means)
