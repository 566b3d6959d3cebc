"""Results as values that compare bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from rlquant.config import QuantizationConfig


def plain(value: Any) -> Any:
    """Return what stands for a result, bit for bit: tensors and networks by their bytes."""
    match value:
        case Tensor():
            content = value.detach().contiguous().cpu()
            return str(value.dtype), tuple(value.shape), content.view(-1).numpy().tobytes()
        case np.ndarray():
            return str(value.dtype), value.shape, value.tobytes()
        case nn.Module():
            return {name: plain(tensor) for name, tensor in value.state_dict().items()}
        case float() | np.floating():
            return float(value).hex()
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case QuantizationConfig():
            return value.key
        case str() | bytes() | int() | None:
            return value
        case Path():
            return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f.name for f in dataclasses.fields(value) if "seconds" not in f.name)
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return repr(value)
