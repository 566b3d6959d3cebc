"""Where batches come from: their order, what is left out, and the teacher's answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from rlquant.errors import DataError
from rlquant.samples import Samples
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.batches import (
    Batch,
    IteratedBatches,
    SampleBatches,
    Teacher,
    make_batches,
)
from rlquant.training.loop import take
from rlquant.training.settings import TrainSettings
from small_networks import FEATURES, IMAGE, Mlp, fresh, samples

CPU = torch.device("cpu")


def numbered(count: int) -> Samples:
    """Samples whose input and target say which one they are."""
    return Samples((torch.arange(count).float()[:, None],), torch.arange(count))


def settings(batch_size: int, **other: Any) -> TrainSettings:
    return TrainSettings(batch_size=batch_size, **other)


def order(batches: SampleBatches) -> list[int]:
    return [int(i) for batch in batches.epoch() for i in batch.targets]


class TestSamples:
    def test_the_seed_decides_the_order_and_every_epoch_has_another(self) -> None:
        first = SampleBatches(numbered(20), settings(5), seed=4)
        again = SampleBatches(numbered(20), settings(5), seed=4)
        other = SampleBatches(numbered(20), settings(5), seed=5)
        epochs = [order(first) for _ in range(3)]
        assert epochs == [order(again) for _ in range(3)]
        assert len({tuple(epoch) for epoch in (*epochs, order(other))}) == 4
        assert all(sorted(epoch) == list(range(20)) for epoch in epochs)

    def test_the_seed_of_everything_else_does_not_matter(self) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = order(SampleBatches(numbered(20), settings(5), seed=4))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert order(SampleBatches(numbered(20), settings(5), seed=4)) == one

    def test_an_incomplete_last_batch_is_left_out_each_time_another(self) -> None:
        batches = SampleBatches(numbered(23), settings(5), seed=0)
        assert len(batches) == 4
        seen: set[int] = set()
        for _ in range(6):
            sizes = [len(batch.targets) for batch in batches.epoch()]
            assert sizes == [5, 5, 5, 5]
            seen |= set(order(batches))
        assert seen == set(range(23))

    def test_fewer_samples_than_a_batch_are_one_batch(self) -> None:
        batches = SampleBatches(numbered(3), settings(5), seed=0)
        assert len(batches) == 1
        assert sorted(order(batches)) == [0, 1, 2]

    def test_inputs_targets_and_index_belong_together(self) -> None:
        pair = Samples((torch.arange(6.0)[:, None], -torch.arange(6.0)[:, None]), torch.arange(6))
        for batch in SampleBatches(pair, settings(2), seed=0).epoch():
            assert batch.index is not None
            assert torch.equal(batch.index, batch.targets)
            assert torch.equal(batch.inputs[0][:, 0], batch.targets.float())
            assert torch.equal(batch.inputs[1][:, 0], -batch.targets.float())

    def test_augmented_images_have_no_index_and_are_others_every_epoch(self) -> None:
        inputs, targets = samples(8, IMAGE)
        kept = inputs.clone()
        changing = settings(8, augmentation=CropAndFlip(2))
        batches = SampleBatches(Samples((inputs,), targets), changing, seed=0)
        (first,), (second,) = batches.epoch(), batches.epoch()
        assert first.index is None
        assert first.inputs[0].shape == inputs.shape
        # Which image is which can be told by the labels alone here: compare sums of each class.
        assert not torch.equal(first.inputs[0].sum(dim=0), second.inputs[0].sum(dim=0))
        (again,) = SampleBatches(Samples((inputs,), targets), changing, seed=0).epoch()
        assert torch.equal(again.inputs[0], first.inputs[0])
        assert torch.equal(inputs, kept)

    def test_images_are_laid_out_as_networks_are_trained(self) -> None:
        inputs, targets = samples(4, IMAGE)
        (batch,) = SampleBatches(Samples((inputs,), targets), settings(4), seed=0).epoch()
        assert batch.inputs[0].is_contiguous(memory_format=torch.channels_last)


class Counted(IterableDataset[Any]):
    """A data set without a length."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = samples(10)
        return iter(zip(inputs, targets, strict=True))


class OnlyOnce:
    """Looks like a loader and can be read only once."""

    def __init__(self, data: Iterable[Any]) -> None:
        self._iterator = iter(data)

    def __iter__(self) -> Iterator[Any]:
        return self._iterator


class TestLoaders:
    def test_a_loader_gives_its_batches_in_its_order(self) -> None:
        loader = DataLoader(TensorDataset(*samples(10)), batch_size=4)
        batches = make_batches(loader, settings(128), 0, CPU)
        assert isinstance(batches, IteratedBatches)
        assert len(batches) == 3
        found = [batch for _ in range(2) for batch in batches.epoch()]
        assert [len(batch.targets) for batch in found] == [4, 4, 2, 4, 4, 2]
        assert torch.equal(torch.cat([batch.inputs[0] for batch in found[:3]]), samples(10)[0])
        assert all(batch.index is None for batch in found)

    def test_a_list_of_batches_is_a_loader(self) -> None:
        assert len(make_batches([samples(3), samples(4)], settings(2), 0, CPU)) == 2

    def test_a_loader_that_knows_no_length_is_counted(self) -> None:
        loader = DataLoader(Counted(), batch_size=4)
        assert len(make_batches(loader, settings(2), 0, CPU)) == 3

    def test_pairs_and_samples_are_shuffled(self) -> None:
        for data in (samples(10), Samples((samples(10)[0],), samples(10)[1])):
            batches = make_batches(data, settings(5), 0, CPU)
            assert isinstance(batches, SampleBatches)
            assert len(batches) == 2

    def test_a_mapping_of_tensors_is_cut_into_batches(self) -> None:
        data = {"input_ids": torch.arange(10)[:, None], "labels": torch.arange(10)}
        batches = make_batches(data, settings(5), 0, CPU)
        assert [len(batch.targets) for batch in batches.epoch()] == [5, 5]
        assert sorted(order(batches)) == list(range(10))

    def test_several_inputs_stay_several(self) -> None:
        data = [((torch.ones(2, 3), torch.zeros(2, 4)), torch.ones(2))]
        (batch,) = make_batches(data, settings(2), 0, CPU).epoch()
        assert [tuple(t.shape) for t in batch.inputs] == [(2, 3), (2, 4)]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ([], "train_data is empty: it gave no batch"),
            (DataLoader(TensorDataset(*samples(3)), batch_size=4, drop_last=True), "is empty"),
            (iter([samples(3)]), r"train_data is an iterator \(list_iterator\) that can be read"),
            ((samples(3) for _ in "ab"), r"train_data is an iterator \(generator\)"),
            (3, "train_data is a int; give a pair"),
            ((torch.ones(0, FEATURES), torch.ones(0)), "train_data is empty: it gave no sample"),
        ],
    )
    def test_data_that_give_nothing_are_refused(self, data: Any, words: str) -> None:
        with pytest.raises(DataError, match=words):
            make_batches(data, settings(2), 0, CPU)

    @pytest.mark.parametrize(
        ("batch", "words"),
        [
            (torch.ones(2, 3), "a batch is a Tensor, it must be a pair"),
            ((torch.ones(2, 3), torch.ones(3)), "differ in length"),
            ((torch.full((2, 3), torch.nan), torch.ones(2)), "some of its inputs are NaN"),
        ],
    )
    def test_a_wrong_batch_is_refused_when_it_comes(self, batch: Any, words: str) -> None:
        batches = make_batches([samples(2), samples(2), batch], settings(2), 0, CPU)
        with pytest.raises(DataError, match=f"train_data.*{words}"):
            list(batches.epoch())

    def test_what_runs_dry_is_said_to(self) -> None:
        batches = make_batches(OnlyOnce([samples(2), samples(3)]), settings(2), 0, CPU)
        words = "one pass over this OnlyOnce gave 5 samples, the next one 0; it can be read only"
        with pytest.raises(DataError, match=words):
            list(take(batches, 5))
        batches = make_batches(OnlyOnce([]), settings(2), 0, CPU)
        with pytest.raises(DataError, match=r"gave no batch; can it be read only once\?"):
            list(take(batches, 5))
        with pytest.raises(DataError, match="train_data is empty: it gave no batch"):
            len(batches)


def test_so_many_steps_are_taken_over_as_many_epochs() -> None:
    batches = SampleBatches(numbered(10), settings(4), seed=0)
    for steps in (1, 2, 3, 7):
        assert len(list(take(batches, steps))) == steps


class Spy(nn.Module):
    """A network that counts its samples, and whose answers depend on the whole batch."""

    asked: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        self.asked += inputs[:, 0].tolist()
        answers: Tensor = self.drop(inputs) + inputs.mean()
        return answers


class TestTeacher:
    @pytest.fixture
    def spy(self, monkeypatch: pytest.MonkeyPatch) -> Spy:
        monkeypatch.setattr(Spy, "asked", [], raising=False)  # of the class: copies write here too
        return Spy()

    def test_each_sample_is_asked_for_once(self, spy: Spy) -> None:
        teacher, batches = Teacher(spy, 20), SampleBatches(numbered(20), settings(5), seed=0)

        def answers() -> Tensor:
            given = [(batch.targets, teacher(batch)) for batch in batches.epoch()]
            order = torch.cat([targets for targets, _ in given]).argsort()
            return torch.cat([answer for _, answer in given])[order]

        first = answers()
        assert sorted(spy.asked) == list(range(20))
        assert torch.equal(answers(), first)
        assert len(spy.asked) == 20

    def test_the_first_answer_to_a_sample_stays(self, spy: Spy) -> None:
        """With a batch left out each epoch samples come again beside new ones."""
        teacher = Teacher(spy, 7)
        runs = []
        for _ in range(2):
            batches = SampleBatches(numbered(7), settings(3), seed=0)
            runs.append([teacher(batch) for batch in take(batches, 12)])
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

    def test_without_an_index_it_is_asked_every_time(self, spy: Spy) -> None:
        teacher = Teacher(spy, 4)
        batch = Batch(numbered(4).inputs, numbered(4).targets)
        for _ in range(2):
            teacher(batch)
        assert len(spy.asked) == 8
        known = Teacher(spy)
        for _ in range(2):
            known(Batch(batch.inputs, batch.targets, batch.targets))
        assert len(spy.asked) == 16

    def test_it_answers_in_eval_mode_without_gradients_and_is_left_alone(self) -> None:
        network = fresh(Mlp).train()
        teacher = Teacher(network, 8)
        inputs, targets = samples(8)
        answers = teacher(Batch((inputs,), targets, torch.arange(8)))
        assert not answers.requires_grad
        assert torch.equal(answers, network(inputs).detach())
        assert network.training
        assert all(p.requires_grad and p.grad is None for p in network.parameters())
        with torch.no_grad():
            network.last.bias.add_(1)  # what happens to it later does not matter
        assert torch.equal(teacher(Batch((inputs,), targets)), answers)
