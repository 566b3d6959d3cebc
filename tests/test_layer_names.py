"""Names of layers: what they do in each block, and which are alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rlquant.layer_names import alike, role

BLOCKS = [f"blocks.{block}.{part}" for block in range(4) for part in ("q", "k", "mlp")]


def test_a_role_is_a_name_without_the_numbers_of_its_blocks() -> None:
    assert role("model.layers.7.self_attn.q_proj") == "model.layers.*.self_attn.q_proj"
    assert role("stage1.0.conv1") == "stage1.*.conv1"


def test_alike_layers_have_one_role_in_consecutive_blocks() -> None:
    assert alike(BLOCKS, 3) == [0, 1, 2] * 4
    assert alike(BLOCKS, 6) == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert alike(BLOCKS, 12) == list(range(12))


def test_fewer_groups_than_roles_are_ranges_of_layers() -> None:
    assert alike(BLOCKS, 2) == [0] * 6 + [1] * 6
    assert alike(BLOCKS, 1) == [0] * 12


@given(
    names=st.lists(st.sampled_from([*BLOCKS, "head", "stem"]), min_size=1, unique=True),
    most=st.integers(1, 20),
)
def test_there_are_never_too_many_groups_and_they_are_numbered_in_order(
    names: list[str], most: int
) -> None:
    groups = alike(names, most)
    assert len(set(groups)) <= most
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))
