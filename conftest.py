"""One torch thread a test process: the small tensors here are slower with more."""

import contextlib
import functools
import logging
import re
import sys
from collections.abc import Iterator

import pytest
import torch
from matplotlib.figure import Figure


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _operators_are_read_once() -> Iterator[None]:
    """Have PyTorch's exporter parse its 500 operators once, not for every ONNX file."""
    with pytest.MonkeyPatch.context() as patch:
        if "onnx" in sys.modules:  # otherwise no test of this run writes such files
            with contextlib.suppress(ImportError):
                from onnxscript._framework_apis import torch_2_5 as exporter

                once = functools.cache(exporter.get_torchlib_ops)
                patch.setattr(exporter, "get_torchlib_ops", once)
        yield


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """Put back the log levels that commands set, so that no test depends on those before it."""
    loggers = [logging.getLogger(name) for name in ("rlquant", "rlquant_envs", "rlquant_agents")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs write empty figures: drawing takes longer than the small searches of tests.

    Tests marked `drawn` look at figures, and get them as they are.
    """
    if request.node.get_closest_marker("drawn"):
        return

    def blank(runs: object) -> dict[str, Figure]:
        return {name: Figure(figsize=(1, 1)) for name in ("pareto", "layers", "search")}

    monkeypatch.setattr("rlquant_agents.reporting.report._figures", blank)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: pytest-xdist runs nothing then."""
    addressed = [item.nodeid for item in items if re.search("0x[0-9a-f]{6}", item.nodeid)]
    if addressed:
        raise pytest.UsageError(f"give these test cases ids without addresses: {addressed[:3]}")
