"""The benchmark of GGUF files, on a small matrix."""

from __future__ import annotations

import pytest

from rlquant.gguf.ggml_types import QUANTIZED


def test_every_type_is_timed() -> None:
    pytest.importorskip("gguf")
    from rlquant_experiments.benchmarks.encoding import encoding

    figures = encoding(4, 256)
    assert [figure.name.split()[4].rstrip(",") for figure in figures] == list(QUANTIZED)
    assert all(figure.value > 0 for figure in figures)
