"""Moments of two inputs of a layer, and the weight that makes up for what one of them misses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rlquant.network.input_sums import input_rows
from rlquant.network.paired_inputs import PairedInputs
from rlquant.rounding.factor import DAMPING


def test_moments_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    y = torch.tensor([[2.0, 0.0], [1.0, 2.0]])
    found = PairedInputs.of(nn.Linear(2, 1), x, y, None, centred=False)
    unit = 2.0**-2 * 2.0**-2  # the largest number is 2 = 0.5 * 2^2
    assert torch.equal(found.whole.second, unit * torch.tensor([[[0.5, 0.0], [0.0, 2.0]]]))
    assert torch.equal(found.whole.missing, unit * torch.tensor([[[0.5, 1.0], [0.0, 0.0]]]))


def test_masked_positions_do_not_count() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 4, 2, generator=draw).unbind()
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    y[~mask] = x[~mask] = y[mask].abs().max()  # nothing larger, so that the unit stays
    layer = nn.Linear(2, 1)
    masked = PairedInputs.of(layer, x, y, mask, centred=True)
    alone = PairedInputs.of(layer, x[mask], y[mask], None, centred=True)
    assert torch.allclose(masked.whole.second, alone.whole.second)
    assert torch.allclose(masked.whole.missing, alone.whole.missing)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 5, bias=False), (40, 3)),
        (nn.Conv2d(4, 6, 2, groups=2, bias=False), (5, 4, 5, 5)),
    ],
    ids=["linear", "grouped"],
)
def test_the_change_has_the_least_error(
    layer: nn.Module, shape: tuple[int, ...], centred: bool
) -> None:
    """As least squares on the rows themselves say, with the damping as further rows."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(shape, generator=draw)
    x = y + 0.5 * torch.randn(shape, generator=draw) + 0.3
    found = PairedInputs.of(layer, x, y, None, centred=centred)
    whole = found.whole
    rows = layer.weight.detach().double().reshape(len(whole.second), -1, whole.second.shape[1])
    changes = whole.change(rows)
    given, wanted = (input_rows(layer, each).double() for each in (x, y))
    if centred:
        given, wanted = (each - each.mean(dim=1, keepdim=True) for each in (given, wanted))
    count = given.shape[1]
    mean = (given.square().sum(dim=1) / count).mean(dim=1)
    for group, own in enumerate(rows):
        extra = (DAMPING * count * mean[group]).sqrt() * torch.eye(given.shape[2]).double()
        lefts = torch.cat([given[group], extra])
        rights = torch.cat(
            [(wanted[group] - given[group]) @ own.T, torch.zeros(len(extra), len(own)).double()]
        )
        expected = torch.linalg.lstsq(lefts, rights).solution.T
        assert torch.allclose(changes[group], expected, atol=1e-5)


def test_nothing_is_missing_where_both_are_the_same() -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(3, 2)
    found = PairedInputs.of(layer, x, x, None, centred=True)
    assert torch.equal(found.target(layer.weight), layer.weight)


def test_what_helps_unseen_samples_is_made_in_full_and_noise_is_not() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=draw)
    layer = nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.randn(3, 4, generator=draw)
    rows = layer.weight.detach().double()[None]
    shrunk = PairedInputs.of(layer, 0.5 * x, x, None, centred=False)
    assert shrunk.share(rows) == 1.0
    assert torch.allclose(shrunk.target(layer.weight), 2 * layer.weight, rtol=0.03, atol=1e-3)
    few, noise = x[:12], torch.randn(12, 4, generator=draw)
    noisy = PairedInputs.of(layer, few, few + noise, None, centred=False)
    assert noisy.share(rows) < 0.3
    single = PairedInputs.of(layer, x[:1], x[1:2], None, centred=False)
    assert torch.equal(single.target(layer.weight), layer.weight)


def test_the_share_is_that_of_least_error_on_the_other_half() -> None:
    """The sum over both ways of fitting is a parabola of the share: its lowest point."""
    draw = torch.Generator().manual_seed(1)
    y = torch.randn(30, 5, generator=draw)
    x = y + 0.8 * torch.randn(30, 5, generator=draw)
    layer = nn.Linear(5, 2, bias=False)
    found = PairedInputs.of(layer, x, y, None, centred=False)
    rows = layer.weight.detach().double()[None]

    def error(share: float) -> float:
        total = 0.0
        for fitted, part in ((0, slice(15, 30)), (1, slice(0, 15))):
            change = found.halves[fitted].change(rows)[0]
            outputs = x[part].double() @ (rows[0] + share * change).T
            total += float((outputs - y[part].double() @ rows[0].T).square().sum())
        return total

    share = found.share(rows)
    assert 0.0 < share < 1.0
    assert error(share) < min(error(share - 0.01), error(share + 0.01))
