"""Tensors on disk: each access reads what was written, into memory of its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import Distillation, Measurement
from rlquant.evaluation import kept_targets
from rlquant.evaluation.measure import run_batches, with_targets
from rlquant.offloaded_tensors import OffloadedTensors, OffloadFile
from rlquant.samples import Samples

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=3))))
def test_what_is_read_is_what_was_written(columns: list[tuple[torch.dtype, list[int]]]) -> None:
    generator = torch.Generator().manual_seed(0)
    written = {
        str(number): torch.randint(0, 2, shape, generator=generator).to(dtype)
        for number, (dtype, shape) in enumerate(columns)
    }
    file = OffloadFile()
    found = [file.offload(written), file.offload(written)]
    for each in found:
        assert list(each) == list(written)
        for name, tensor in written.items():
            assert each[name].dtype == tensor.dtype
            assert torch.equal(each[name], tensor)


def test_other_layouts_are_read_in_order() -> None:
    tensor = torch.arange(12.0).reshape(3, 4).t()
    assert torch.equal(OffloadFile().offload({"a": tensor})["a"], tensor)


def test_writing_to_what_was_read_changes_nothing() -> None:
    found = OffloadFile().offload({"a": torch.ones(3)})
    found["a"].zero_()
    assert found["a"].tolist() == [1.0, 1.0, 1.0]


def _measured(monkeypatch: pytest.MonkeyPatch, most: int) -> tuple[list[Samples], Measurement]:
    monkeypatch.setattr(kept_targets, "TARGET_BYTES", most)
    generator = torch.Generator().manual_seed(0)
    floats, other = (torch.nn.Linear(4, 50) for _ in range(2))
    with torch.no_grad():
        for p in (*floats.parameters(), *other.parameters()):
            p.copy_(torch.randn(p.shape, generator=generator))
    inputs = torch.randn(12, 4, generator=generator)
    batches = with_targets(floats, Samples((inputs,), {}).batches(4), Distillation())
    return batches, run_batches(other, batches, Distillation())


def test_offloaded_targets_score_bit_for_bit_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = _measured(monkeypatch, 2**26)
    one = 4 * 50 * 2 + 4 * (4 + 4 + 8 + 1)  # bytes of a batch's targets
    batches, found = _measured(monkeypatch, one)
    kept = [isinstance(batch._targets, OffloadedTensors) for batch in batches]
    assert kept == [False, True, True]
    assert found == expected


def test_a_full_disk_keeps_targets_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: OffloadFile, tensors: object) -> OffloadedTensors:
        raise OSError("no space left on device")

    _, expected = _measured(monkeypatch, 2**26)
    monkeypatch.setattr(OffloadFile, "offload", full)
    _, found = _measured(monkeypatch, 0)
    assert found == expected
    assert caplog.text.count("stay in memory") == 1
