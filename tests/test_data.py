"""Data: every form that users give, the samples that are taken, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from rlquant.data import is_pair, iterate, samples_behind, take_samples
from rlquant.errors import DataError, SettingsError
from rlquant.samples import Samples, fingerprint_tensors, require_different
from small_networks import FEATURES, Pair, samples

CPU = torch.device("cpu")


def take(data: Any, count: int = 10, **other: Any) -> Samples:
    return take_samples(data, count, name="train_data", device=CPU, **other)


def equal(a: Samples, b: Samples) -> bool:
    inputs = all(torch.equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))
    return inputs and torch.equal(a.targets, b.targets)


# --- forms of data


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6), count=st.integers(1, 20))
def test_samples_are_the_first_ones_in_order_however_they_are_batched(
    sizes: list[int], count: int
) -> None:
    inputs, targets = samples(sum(sizes))
    batches = list(zip(torch.split(inputs, sizes), torch.split(targets, sizes), strict=True))
    if sum(sizes) == 0:
        with pytest.raises(DataError, match="train_data is empty: it gave no sample"):
            take(batches, count)
        return
    taken = take(batches, count)
    assert len(taken) == min(count, sum(sizes))
    assert equal(taken, Samples((inputs[:count],), targets[:count]))


def test_a_pair_of_tensors_is_one_batch() -> None:
    inputs, targets = samples(20)
    for pair in ((inputs, targets), [inputs, targets]):
        assert is_pair(pair)
        assert equal(take(pair), Samples((inputs[:10],), targets[:10]))


def test_inputs_by_name_are_a_batch_alone_or_with_targets() -> None:
    inputs, targets = samples(20)
    named = {"pixels": inputs, "labels": targets}
    for data in (named, [named], ({"pixels": inputs}, targets)):
        taken = take(data)
        assert torch.equal(taken.inputs["pixels"], inputs[:10])  # type: ignore[call-overload]
        assert torch.equal(taken.targets, targets[:10])
    assert take({"pixels": inputs}).targets == {}
    with pytest.raises(DataError, match="entry 'texts' of a batch is a list; keep the network's"):
        take({"pixels": inputs, "texts": ["a"]})
    with pytest.raises(DataError, match="inputs are given by name \\(pixels\\)"):
        take(named).positional  # noqa: B018


@given(names=st.sampled_from([("input_ids", "attention_mask"), ("input_ids",)]))
def test_samples_by_name_are_cut_selected_and_joined_alike(names: tuple[str, ...]) -> None:
    columns = {name: torch.arange(12).reshape(6, 2) * (i + 1) for i, name in enumerate(names)}
    whole = Samples(columns, {"a": torch.arange(6)})
    assert (whole.mask is not None) == ("attention_mask" in names)
    again = Samples.joined(whole.batches(4))
    assert (
        again.fingerprint()
        == whole.fingerprint()
        != Samples(columns, torch.arange(6)).fingerprint()
    )
    order = torch.tensor([3, 0])
    assert torch.equal(whole.select(order).targets["a"], order)


def test_a_loader_is_read_again_and_again() -> None:
    inputs, targets = samples(20)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=6)
    assert equal(take(loader), take((inputs, targets)))
    assert equal(take(loader), take(loader))


def test_two_batches_are_not_mistaken_for_a_pair() -> None:
    inputs, targets = samples(12)
    batches = [(inputs[:6], targets[:6]), (inputs[6:], targets[6:])]
    assert not is_pair(batches)
    assert equal(take(batches, 12), take((inputs, targets), 12))


def test_several_inputs_come_as_a_tuple() -> None:
    (left, targets), (right, _) = samples(12), samples(12, seed=1)
    taken = take(((left, right), targets), 5)
    assert equal(taken, Samples((left[:5], right[:5]), targets[:5]))
    batches = [((left[:6], right[:6]), targets[:6]), ((left[6:], right[6:]), targets[6:])]
    assert equal(take(batches, 8), take(((left, right), targets), 8))


def test_only_as_many_batches_are_read_as_are_needed_and_those_once_more() -> None:
    class Counting:
        read = 0

        def __iter__(self) -> Iterator[Pair]:
            for seed in range(100):
                self.read += 1
                yield samples(4, seed=seed)

    data = Counting()
    take(data, 10)
    assert data.read == 3 + 3  # the second time to see that they can be read again


def test_a_number_of_samples_may_come_from_numpy() -> None:
    assert len(take(samples(20), np.int64(7))) == 7  # type: ignore[arg-type]


def test_samples_do_not_follow_later_changes_of_the_data() -> None:
    inputs, targets = samples(10)
    taken = take((inputs, targets))
    before = taken.fingerprint()
    inputs.zero_()
    targets.zero_()
    assert taken.fingerprint() == before


# --- what is refused


@pytest.mark.parametrize("count", [0, -3, 2.5, None, "many", True])
def test_at_least_one_sample_must_be_asked_for(count: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"samples of train_data=.*, use a whole number of at l"
    ):
        take(samples(4), count)


def test_an_iterator_that_can_be_read_only_once_is_refused() -> None:
    batch = samples(4)
    words = r"train_data is an iterator \(generator\) that can be read only once; give the loader"
    with pytest.raises(DataError, match=words):
        take(batch for _ in range(3))
    with pytest.raises(DataError, match=r"validation_data is an iterator \(list_iterator\)"):
        iterate(iter([batch]), "validation_data")


@pytest.mark.parametrize("data", [7, None, object()])
def test_data_that_cannot_be_iterated_are_refused(data: Any) -> None:
    with pytest.raises(DataError, match=rf"train_data is a {type(data).__name__}; give a pair"):
        take(data)


@pytest.mark.parametrize("data", [[], (), (torch.zeros(0, 3), torch.zeros(0))])
def test_empty_data_are_refused(data: Any) -> None:
    with pytest.raises(DataError, match="train_data is empty: it gave no sample"):
        take(data)


def test_an_empty_loader_is_refused() -> None:
    nothing = TensorDataset(torch.zeros(0, FEATURES), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="train_data is empty"):
        take(DataLoader(nothing, batch_size=4))


def test_fewer_samples_than_a_setting_asks_for_are_used_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert len(take(samples(6))) == 6
    assert len(take(samples(10), setting="calibration_samples")) == 10
    assert caplog.messages == []
    assert len(take(samples(6), setting="calibration_samples")) == 6
    assert len(take(samples(6), setting="validation_samples", level=logging.INFO)) == 6
    words = "train_data has 6 samples: all are used, {}_samples=10 is the most"
    assert caplog.messages == [words.format("calibration"), words.format("validation")]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize(
    "batch",
    [torch.zeros(4, 2), (torch.zeros(4, 2),), (torch.zeros(4, 2), np.zeros(4)), "ab"],
)
def test_a_batch_that_is_no_pair_is_refused(batch: Any) -> None:
    words = rf"train_data: a batch is a {type(batch).__name__}, it must be a pair"
    with pytest.raises(DataError, match=words):
        take([batch])


def test_a_pair_of_arrays_is_refused() -> None:
    with pytest.raises(DataError, match="a batch is a ndarray, it must be a pair"):
        take((np.zeros((4, 2)), np.zeros(4)))


@pytest.mark.parametrize(
    ("inputs", "lengths"),
    [
        (torch.zeros(5, 2), r"\[4, 5\]"),
        ((torch.zeros(4, 2), torch.zeros(5, 2)), r"\[4, 5\]"),
        (torch.zeros(()), r"\[0, 4\]"),
        ((), r"\[4\]"),
    ],
)
def test_inputs_and_targets_of_different_length_are_refused(inputs: Any, lengths: str) -> None:
    words = f"train_data: inputs and targets of a batch differ in length: {lengths}"
    with pytest.raises(DataError, match=words):
        take((inputs, torch.zeros(4)))


def test_batches_that_do_not_fit_each_other_are_refused() -> None:
    targets = torch.zeros(3)
    for other in (torch.zeros(3, 9), (torch.zeros(3, 2), torch.zeros(3, 2))):
        with pytest.raises(DataError, match="train_data: its batches do not fit each other"):
            take([(torch.zeros(3, 2), targets), (other, targets)])


def test_inputs_that_are_nan_are_refused() -> None:
    inputs, targets = samples(10)
    inputs[7, 2] = float("nan")
    with pytest.raises(DataError, match="train_data: some of its inputs are NaN; mend those"):
        take((inputs, targets))
    take((inputs, targets), 7)  # those that are taken are fine
    inputs[7, 2] = float("-inf")  # a mask may hold it
    take((inputs, targets))


def test_a_loader_that_shuffles_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    data = TensorDataset(*samples(20))
    take(DataLoader(data, batch_size=5))
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        draw = torch.Generator()
        take(DataLoader(data, batch_size=5, shuffle=True, generator=draw))
        take(DataLoader(data, batch_size=5, shuffle=True))  # shuffled as the library seeds it
        place = torch.device("cpu")
        loader = DataLoader(data, batch_size=5, shuffle=True, generator=draw)
        take_samples(loader, 7, name="train_data", device=place, any_order=True)
    (message,) = caplog.messages
    assert "train_data is shuffled: every run takes other samples from it" in message


# --- samples


@given(count=st.integers(1, 20), size=st.integers(1, 25))
def test_batches_are_consecutive_and_lose_nothing(count: int, size: int) -> None:
    taken = take(samples(count), count)
    batches = taken.batches(size)
    assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)
    assert 0 < len(batches[-1]) <= size + 1
    assert len(batches) == 1 or size == 1 or len(batches[-1]) > 1
    joined = Samples(
        (torch.cat([b.inputs[0] for b in batches]),), torch.cat([b.targets for b in batches])
    )
    assert equal(joined, taken)


def changed(tensor: Tensor) -> Tensor:
    other = tensor.clone()
    other.view(-1)[-1] += 1
    return other


def test_a_fingerprint_changes_with_contents_shape_and_type() -> None:
    inputs, targets = samples(8)
    variants = [
        (inputs, targets),
        (changed(inputs), targets),
        (inputs, changed(targets)),
        (inputs.reshape(8, 2, 3), targets),
        (inputs.double(), targets),
        (inputs, targets.int()),
        (inputs[:7], targets[:7]),
    ]
    prints = [Samples((x,), y).fingerprint() for x, y in variants]
    assert len(set(prints)) == len(prints)
    assert Samples((inputs.clone(),), targets.clone()).fingerprint() == prints[0]


def test_a_fingerprint_does_not_see_the_memory_layout() -> None:
    images = samples(4, (3, 5, 5))[0]
    laid_out = images.to(memory_format=torch.channels_last)
    assert laid_out.stride() != images.stride()
    assert fingerprint_tensors([laid_out]) == fingerprint_tensors([images])


def test_every_type_has_a_fingerprint() -> None:
    types = [torch.float16, torch.bfloat16, torch.bool, torch.int64, torch.complex64]
    tensors = [torch.ones(3, dtype=dtype) for dtype in types]
    tensors += [torch.tensor(1.0), torch.zeros(0, 3)]
    assert len({fingerprint_tensors([t]) for t in tensors}) == len(tensors)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    noted = "804dbfe6824d61b6cfad341fda81b67d"
    assert fingerprint_tensors([torch.arange(9.0).reshape(3, 3)]) == noted


# --- training and validation


@pytest.mark.parametrize(("training", "validation"), [(20, 20), (8, 20), (20, 8)])
def test_validation_that_begins_like_training_is_refused(training: int, validation: int) -> None:
    data, count = samples(20), min(training, validation)
    words = f"{count} of {count} samples are in train_data and in validation_data: a search would"
    with pytest.raises(DataError, match=words):
        require_different(take(data, training), take(data, validation))


def test_the_order_of_shared_samples_does_not_matter() -> None:
    inputs, targets = samples(40)
    base = take((inputs, targets), 40)
    with pytest.raises(DataError, match="40 of 40 samples are in train_data and in"):
        require_different(base, take((inputs.flip(0), targets.flip(0)), 40))
    with pytest.raises(DataError, match="30 of 30 samples are in train_data and in"):
        require_different(base, take((inputs[10:], targets[10:]), 30))
    (others, labels), mostly = samples(19, seed=1), (inputs[19:], targets[19:])
    shifted = torch.cat([mostly[0], others]), torch.cat([mostly[1], labels])
    with pytest.raises(DataError, match="21 of 40 samples are in train_data and in"):
        require_different(base, take(shifted, 40))


def test_a_few_shared_samples_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    (inputs, targets), (other, labels) = samples(20), samples(20, seed=1)
    mixed = torch.cat([inputs[:3], other[3:]]), torch.cat([targets[:3], labels[3:]])
    require_different(take((inputs, targets), 20), take(mixed, 20))
    assert caplog.messages == ["3 samples of validation_data are in train_data too"]


def test_other_data_are_let_through(caplog: pytest.LogCaptureFixture) -> None:
    inputs, targets = samples(20)
    base = take((inputs, targets), 20)
    require_different(base, take(samples(20, seed=1), 20))
    require_different(base, take((inputs, targets + 1), 20))
    require_different(base, take(((inputs, inputs), targets), 20))
    assert caplog.messages == []


# --- samples behind the first ones


def behind(data: Any, first: int, count: int) -> Samples | None:
    return samples_behind(data, first, count, name="train_data", device=CPU)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    first=st.integers(1, 20),
    count=st.integers(1, 20),
)
def test_samples_behind_follow_the_first_ones(sizes: list[int], first: int, count: int) -> None:
    parts = torch.arange(float(sum(sizes))).split(sizes)
    data = [(part[:, None], part) for part in parts]
    found = behind(data, first, count)
    expected = torch.arange(float(sum(sizes)))[first : first + count]
    if found is None:
        assert not len(expected)
    else:
        assert torch.equal(found.targets, expected)
        assert torch.equal(found.inputs[0][:, 0], expected)  # type: ignore[index]


def test_a_shuffled_loader_has_none_behind() -> None:
    inputs, targets = samples(20)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=4, shuffle=True)
    assert behind(loader, 4, 4) is None
    assert behind(DataLoader(TensorDataset(inputs, targets), batch_size=4), 4, 4) is not None


def test_batches_of_other_lengths_are_none_behind() -> None:
    data = [(torch.zeros(2, 3), torch.zeros(2)), (torch.zeros(2, 4), torch.zeros(2))]
    assert behind(data, 1, 1) is not None
    assert behind(data, 1, 2) is None
