from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.errors import QuantizationError
from rlquant.quantizers import kmeans_points, quantile_points, quantize_to_points
from rlquant.quantizers.codebook import FEW_BORDERS, places
from rlquant.quantizers.groups import to_rows
from strategies import points, seeded, weights


def scaled(w: Tensor, size: int) -> Tensor:
    """The weights of every group that varies, brought to [0, 1], without padding."""
    rows = w.reshape(-1, w.shape[1:].numel()) if w.dim() > 1 else w.reshape(1, -1)
    groups = [group for row in rows for group in row.split(size)]
    varying = [b for b in groups if b.max() > b.min()]
    return torch.cat([torch.empty(0), *((b - b.min()) / (b.max() - b.min()) for b in varying)])


def squared_error(u: Tensor, p: Tensor) -> float:
    return float((u.double()[:, None] - p.double()).abs().min(dim=1).values.square().sum())


@settings(max_examples=30, deadline=None)
@given(w=weights(), p=points(), size=st.sampled_from([4, 256, "tensor"]))
def test_every_weight_takes_the_nearest_point(w: Tensor, p: Tensor, size: GroupSize) -> None:
    q = quantize_to_points(w, p, group_size=size)
    assert q.scale is not None
    assert q.offset is not None
    rows = to_rows(w, size)
    places = q.offset[:, None, None] + q.scale[:, None, None] * p
    least = (places - rows[..., None]).abs().min(dim=-1).values
    got = (to_rows(q.dequantize(), size) - rows).abs()
    varies = (rows.amax(dim=1) > rows.amin(dim=1))[:, None]
    assert (torch.where(varies, got - least, got) <= 2.0**-20 * w.abs().max()).all()


def test_ties_go_to_the_lower_point_and_outside_to_the_outermost() -> None:
    w = torch.tensor([0.0, 0.125, 0.375, 0.75, 1.0])
    q = quantize_to_points(w, torch.tensor([0, 0.25, 0.5, 1]))
    assert q.codes.tolist() == [0, 0, 1, 2, 3]
    inner = quantize_to_points(w, torch.tensor([0.25, 0.5]))
    assert inner.dequantize().tolist() == [0.25, 0.25, 0.25, 0.5, 0.5]


def test_equal_points_are_fine() -> None:
    w = torch.tensor([0.0, 0.3, 1.0])
    for p in ([0.5, 0.5], [0.0, 0.0, 1.0, 1.0], [0.0, 0.3, 0.3]):
        q = quantize_to_points(w, torch.tensor(p))
        assert torch.isfinite(q.dequantize()).all()


def test_stochastic_share_is_the_distance() -> None:
    u = torch.tensor([0.0, 0.1, 0.3, 0.45, 0.9, 1.0])
    p = torch.tensor([0.1, 0.2, 0.6, 0.8])
    q = quantize_to_points(
        u.repeat(20_000, 1), p, group_size=6, rounding="stochastic", generator=seeded(0)
    )
    mean = q.dequantize().double().mean(dim=0)
    expected = torch.tensor([0.1, 0.1, 0.3, 0.45, 0.8, 0.8], dtype=torch.float64)
    # The widest gap is 0.4: five standard errors are 5 * 0.2 / sqrt(20000) = 0.0071.
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.0072)


def test_bits_and_size_follow_the_number_of_points() -> None:
    w = torch.rand(40, generator=seeded(0))
    for count, bits in ((2, 1), (3, 2), (4, 2), (5, 3), (256, 8)):
        q = quantize_to_points(w, torch.linspace(0, 1, count))
        assert q.bits == bits
        assert q.size_bits() == 40 * bits + 64 + 32 * count


def test_float16_stores_the_points_too() -> None:
    w = torch.rand(40, generator=seeded(0))
    q = quantize_to_points(w, torch.tensor([0, 1 / 3, 1]), scale_dtype=torch.float16)
    assert q.values is not None
    assert q.values.dtype == torch.float16
    assert set(q.codebook.tolist()) == {0.0, float(torch.tensor(1 / 3).half()), 1.0}


@settings(max_examples=30, deadline=None)
@given(w=weights(), count=st.integers(2, 9))
def test_quantile_points_are_numpy_percentiles(w: Tensor, count: int) -> None:
    u = scaled(w, 4)
    expected = np.linspace(0, 1, count)
    if u.numel():
        expected = np.percentile(u.double().numpy(), np.linspace(0, 100, count))
    found = quantile_points(w, count, group_size=4)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(w=weights(), count=st.integers(2, 9))
def test_kmeans_points_are_ascending_and_never_worse_than_their_start(
    w: Tensor, count: int
) -> None:
    u = scaled(w, 4)
    start = quantile_points(w, count, group_size=4)
    found = kmeans_points(w, count, group_size=4)
    assert found.dtype == torch.float32
    assert (found[1:] >= found[:-1]).all()
    assert squared_error(u, found) <= squared_error(u, start) + 1e-9
    assert torch.equal(found, kmeans_points(w, count, group_size=4))


def test_kmeans_finds_separate_clusters() -> None:
    w = torch.tensor([0.0, 0.02, 0.5, 0.52, 0.54, 0.98, 1.0])
    expected = torch.tensor([0.01, 0.52, 0.99])
    torch.testing.assert_close(kmeans_points(w, 3), expected)


def test_constant_weights_get_equally_spaced_points() -> None:
    w = torch.full((3, 4), 2.0)
    assert quantile_points(w, 3).tolist() == [0.0, 0.5, 1.0]
    assert kmeans_points(w, 3).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("place", [quantile_points, kmeans_points])
@pytest.mark.parametrize("count", [1, 257, 4.0, True])
def test_wrong_counts_are_refused(place: object, count: object) -> None:
    with pytest.raises(QuantizationError, match=r"count=.*use a whole number in 2\.\.256"):
        place(torch.ones(3), count)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (torch.tensor([0.5]), "one dimension of 2..256 values"),
        (torch.zeros(257), "one dimension of 2..256 values"),
        (torch.zeros(2, 2), "one dimension of 2..256 values"),
        (torch.tensor([0.5, 0.2]), "not ascending; sort them first"),
        (torch.tensor([0.0, float("nan")]), "1 of 2 points are NaN"),
        (torch.tensor([0, 1]), "points are of type torch.int64"),
    ],
)
def test_wrong_points_are_refused(p: Tensor, words: str) -> None:
    with pytest.raises(QuantizationError, match=words):
        quantize_to_points(torch.ones(3), p)


@given(
    st.lists(st.integers(-8, 8), max_size=FEW_BORDERS + 2).map(sorted),
    st.lists(st.integers(-9, 9), max_size=40),
    st.booleans(),
)
def test_counting_comparisons_finds_the_places_of_a_binary_search(
    borders: list[int], values: list[int], right: bool
) -> None:
    # Eighths: many values are at a border exactly.
    edges, x = (torch.tensor(numbers).float() / 8 for numbers in (borders, values))
    assert torch.equal(places(x, edges, right=right), torch.bucketize(x, edges, right=right))
