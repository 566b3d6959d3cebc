"""The policy that comes with the package: taught on small networks that no task uses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from safetensors.torch import save
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor

from rlquant.documents import Range, parse_json, read_as, shown
from rlquant.documents.tensor_file import read_tensors, require_like, require_sound
from rlquant.errors import FileFormatError
from rlquant.files import make_folder, reading, write_file
from rlquant_agents.searchers.dyna_ppo.option_features import OPTION_FEATURES, STATE_FEATURES

WEIGHTS = Path(__file__).with_name("pretrained.safetensors")
"""Weights that come with the package; `docs/results/pretrained.md` says how they were made."""
FORMAT = "rlquant option policy 1"
MOST_BYTES, MOST_HIDDEN = 2**26, 2**11
"""A policy that decides in milliseconds has some ten thousand numbers."""
KEY = "policy"
"""The header's one entry, JSON: with several, the same weights would make different bytes."""


def save_pretrained(
    policy: MaskableActorCriticPolicy, path: str | Path, made: Mapping[str, Any]
) -> None:
    """Write a policy's weights, with a header that says for which features they are.

    Args:
        policy: an `OptionPolicy`.
        path: file to write.
        made: how the weights were made, for people; goes into the header as JSON.

    Raises:
        StorageError: the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "state_features": list(STATE_FEATURES),
        "option_features": list(OPTION_FEATURES),
        "hidden": _width(policy),
        "made": dict(made),
    }
    weights = {name: value.contiguous() for name, value in policy.state_dict().items()}
    target = Path(path)
    make_folder(target.parent)
    write_file(target, save(weights, metadata={KEY: json.dumps(header)}))


def load_pretrained(policy: MaskableActorCriticPolicy, path: str | Path = WEIGHTS) -> None:
    """Load weights into a policy; they fit any number of options.

    Args:
        policy: an `OptionPolicy`, as wide as the one that was saved.
        path: file that `save_pretrained` wrote; by default the weights that come with the package.

    Raises:
        FileFormatError: a damaged or foreign file, one for other features or of another width.
        StorageError: the file cannot be read.
    """
    header, weights = read_pretrained(path)
    with reading(path):
        if header["hidden"] != _width(policy):
            raise FileFormatError(
                f"weights of a policy with hidden={header['hidden']}, this one has "
                f"hidden={_width(policy)}; give it the same, or pretrain another"
            )
        require_like(weights, policy.state_dict())
        policy.load_state_dict(weights)


def read_pretrained(path: str | Path) -> tuple[PolicyHeader, dict[str, Tensor]]:
    """Return the header of a file, checked, and its weights; errors as of `load_pretrained`."""
    with reading(path):
        return _read(path)


def _read(path: str | Path) -> tuple[PolicyHeader, dict[str, Tensor]]:
    try:
        file = read_tensors(path, MOST_BYTES)
        header = read_as(dict[str, Any], parse_json(file.metadata.get(KEY, "{}")))
    except FileFormatError as error:
        raise FileFormatError(f"damaged, or no weights of a policy ({error})") from error
    found = header.get("format")
    if found != FORMAT:
        words = f"format {shown(found)}, not {FORMAT!r}"
        raise FileFormatError(f"no weights of an option policy ({words})")
    for field, names in (("state_features", STATE_FEATURES), ("option_features", OPTION_FEATURES)):
        if header.get(field) != list(names):
            raise FileFormatError(
                f"the policy was trained on other {field.replace('_', ' ')} than this version "
                f"has; pretrain it again: python scripts/pretrain_agent.py"
            )
    checked = read_as(PolicyHeader, header, "its header")
    require_sound(file.tensors)
    return checked, file.tensors


class PolicyHeader(TypedDict):
    """What is read of the header."""

    hidden: Annotated[int, Range(1, MOST_HIDDEN)]
    made: dict[str, Any]


def _width(policy: MaskableActorCriticPolicy) -> int:
    return int(policy.mlp_extractor.latent_dim_vf)
