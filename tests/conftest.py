"""One torch thread a test process: the small tensors here are slower with more."""

import re

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: pytest-xdist runs nothing then."""
    addressed = [item.nodeid for item in items if re.search("0x[0-9a-f]{6}", item.nodeid)]
    if addressed:
        raise pytest.UsageError(f"give these test cases ids without addresses: {addressed[:3]}")
