"""llama.cpp's own libraries: its encoders of weights, and the logits that it computes of a file.

They come in a folder, as `bins/linux-x64` of the npm package @node-llama-cpp/linux-x64. Structures
of parameters, which change from release to release, are handed over as they were given: whatever
their size, `BLOB` bytes hold them.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import POINTER, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant.errors import DataError

BLOB = 1024
"""More bytes than any structure of parameters has."""
Floats = npt.NDArray[np.float32]


_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)(lambda level, text, data: None)
"""Takes what llama.cpp would print; it is called as long as the libraries are there."""


class _Parameters(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint8 * BLOB),)


class _Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


class Libraries:
    """llama.cpp's libraries out of a folder.

    Args:
        folder: with libggml-base.so, libggml.so and libllama.so, whose names may have a version.

    Raises:
        DataError: one of them is missing there.
    """

    def __init__(self, folder: Path) -> None:
        self.base, self.ggml, self.llama = (
            ctypes.CDLL(str(_found(folder, name))) for name in ("ggml-base", "ggml", "llama")
        )
        self.base.ggml_quantize_chunk.restype = c_size_t
        self.ggml.ggml_backend_load_all_from_path(c_char_p(str(folder).encode()))
        self.llama.llama_log_set(_SILENT, None)

    def encode(
        self, weight: Floats, type_number: int, row_bytes: int, importance: Floats | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return a weight in a type of ggml, as `llama-quantize` encodes it.

        Args:
            weight: shape `(rows, columns)`.
            type_number: of the type in files.
            row_bytes: of a row in that type.
            importance: mean square of each input, shape `(columns,)`, as an imatrix has it.
        """
        rows, columns = weight.shape
        source = np.ascontiguousarray(weight, dtype=np.float32)
        counts = None if importance is None else np.ascontiguousarray(importance, np.float32)
        out = np.empty((rows, row_bytes), np.uint8)
        written = self.base.ggml_quantize_chunk(
            c_int32(type_number),
            source.ctypes.data_as(c_void_p),
            out.ctypes.data_as(c_void_p),
            *(c_int64(n) for n in (0, rows, columns)),
            None if counts is None else counts.ctypes.data_as(c_void_p),
        )
        assert written == out.size
        return out

    def model(self, path: Path) -> Model:
        """Load a GGUF file."""
        return Model(self.llama, path)


class Model:
    """A GGUF file as llama.cpp runs it, on one thread; at most 512 tokens at a time.

    As a context manager it lets go of the file at the end.
    """

    def __init__(self, llama: Any, path: Path) -> None:
        self._llama = llama
        for name in ("model_default_params", "context_default_params"):
            getattr(llama, f"llama_{name}").restype = _Parameters
        for name in ("model_load_from_file", "init_from_model", "get_memory", "model_get_vocab"):
            getattr(llama, f"llama_{name}").restype = c_void_p
        llama.llama_get_logits.restype = POINTER(c_float)
        llama.llama_batch_init.restype = _Batch
        llama.llama_backend_init()
        self._model = c_void_p(
            llama.llama_model_load_from_file(
                c_char_p(str(path).encode()), llama.llama_model_default_params()
            )
        )
        if not self._model:
            raise DataError(f"{path}: llama.cpp does not load it")
        self._context = c_void_p(
            llama.llama_init_from_model(self._model, llama.llama_context_default_params())
        )
        llama.llama_set_n_threads(self._context, c_int32(1), c_int32(1))
        vocabulary = c_void_p(llama.llama_model_get_vocab(self._model))
        self.vocabulary = int(llama.llama_vocab_n_tokens(vocabulary))

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)

    def logits(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """Return the logits behind each token of a sequence, shape `(tokens, vocabulary)`."""
        self._forget()
        return self._decode(tokens, 0)

    def seconds_per_token(self, tokens: npt.NDArray[np.int64]) -> float:
        """Return how long a token takes, one at a time."""
        self._forget()
        start = time.perf_counter()
        for place in range(len(tokens)):
            self._decode(tokens[place : place + 1], place)
        return (time.perf_counter() - start) / len(tokens)

    def _forget(self) -> None:
        memory = c_void_p(self._llama.llama_get_memory(self._context))
        self._llama.llama_memory_clear(memory, ctypes.c_bool(True))

    def _decode(self, tokens: npt.NDArray[np.int64], first: int) -> Floats:
        count = len(tokens)
        batch = self._llama.llama_batch_init(c_int32(count), c_int32(0), c_int32(1))
        batch.n_tokens = count
        for place, token in enumerate(tokens.tolist()):
            batch.token[place], batch.pos[place] = token, first + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = 1
        failed = self._llama.llama_decode(self._context, batch)
        found = self._llama.llama_get_logits(self._context)
        logits = np.ctypeslib.as_array(found, (count, self.vocabulary)).copy()
        self._llama.llama_batch_free(batch)
        if failed:
            raise DataError(f"llama.cpp ends with {failed}")
        return logits


def _found(folder: Path, name: str) -> Path:
    known = [folder / f"lib{name}.so", *sorted(folder.glob(f"lib{name}.v*.so"))]
    for path in known:
        if path.is_file():
            return path
    raise DataError(f"{folder} has no lib{name}.so, which llama.cpp is built into")
