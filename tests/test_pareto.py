"""The one Pareto front: what nothing that costs as much or less is as good as."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rlquant.pareto import pareto_front

POINTS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.3, math.inf, math.nan])), max_size=12
)


@given(POINTS)
def test_a_point_is_on_the_front_where_none_beats_it(points: list[tuple[int, float]]) -> None:
    costs, losses = [p[0] for p in points], [p[1] for p in points]
    expected = [
        i
        for i, (cost, loss) in enumerate(points)
        if math.isfinite(loss)
        and not any(c <= cost and x <= loss and (c, x) != (cost, loss) for c, x in points)
        and (cost, loss) not in points[:i]
    ]
    front = pareto_front(costs, losses).tolist()
    assert front == sorted(expected, key=lambda i: costs[i])


def test_of_equal_points_the_one_with_the_smallest_tie_is_taken_and_then_the_first() -> None:
    costs, losses = [2, 2, 2, 1], [0.5, 0.5, 0.5, 0.9]
    assert pareto_front(costs, losses).tolist() == [3, 0]
    assert pareto_front(costs, losses, [7, 5, 5, 9]).tolist() == [3, 1]
