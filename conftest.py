"""One torch thread a test process: the small tensors here are slower with more."""

import contextlib
import copy
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
def _exporter_prepares_once() -> Iterator[None]:
    """Have PyTorch's exporter list operators and read their signatures once, not for every file."""
    with pytest.MonkeyPatch.context() as patch:
        if "onnx" in sys.modules:  # otherwise no test of this run writes such files
            with contextlib.suppress(ImportError, AttributeError):  # other versions: as they are
                _remember_operators(patch)
        yield


def _remember_operators(patch: pytest.MonkeyPatch) -> None:
    from onnxscript._framework_apis import torch_2_5 as translations
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    for module, name in (
        (translations, "get_torchlib_ops"),
        (utils, "_materialize_cpp_cia_ops"),
    ):
        patch.setattr(module, name, functools.cache(getattr(module, name)))
    filled = functools.cache(ONNXRegistry.from_torchlib)

    def from_torchlib(**settings: int) -> ONNXRegistry:
        registry = copy.copy(filled(**settings))
        registry.functions = {target: list(each) for target, each in registry.functions.items()}
        return registry

    patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(from_torchlib))


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
