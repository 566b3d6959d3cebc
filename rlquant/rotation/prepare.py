"""`prepare`: a copy of a transformer whose weights are easier to quantize, the same function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import independent_copy
from rlquant.errors import LARGEST_SEED, NetworkError, SettingsError, whole_number
from rlquant.forward_pass import Arguments, as_arguments, outputs_of
from rlquant.plain_network import require_network
from rlquant.rotation.orthogonal import random_hadamard, random_orthogonal
from rlquant.rotation.residual_stream import (
    REFUSED,
    ResidualStream,
    find_embedding,
    find_residual_stream,
)
from rlquant.shared_embedding import give_own_head

Rotation = Literal["orthogonal", "hadamard"]
ROTATIONS: Mapping[Rotation, Callable[[int, int], Tensor]] = {
    "orthogonal": random_orthogonal,
    "hadamard": random_hadamard,
}
EXAMPLE_SHAPE = (2, 16)
"""Sequences and tokens of the example that is made where none is given."""


@explained
@isolated(seed=0)
@torch.no_grad()
def prepare(
    network: nn.Module,
    example_input: Tensor | Sequence[Tensor] | None = None,
    *,
    rotate: bool | Rotation = True,
    seed: int = 0,
) -> nn.Module:
    """Return a copy of an RMSNorm transformer that computes the same and quantizes better.

    The gains of the norms are folded into the Linear layers behind them, the head is untied from
    the embedding, and the residual stream is rotated by a random orthogonal matrix, which spreads
    outliers over all channels (QuaRot; Ashkboos et al., 2024). Llama-like networks have such a
    stream: an embedding, RMSNorms followed by Linear layers, Linear layers that are added to it.

    Args:
        network: trained; left as it is.
        example_input: inputs of one forward pass; by default 2 x 16 random tokens.
        rotate: True or "orthogonal" for a uniformly random rotation, "hadamard" for a Hadamard
            matrix with random signs, False to fold and untie alone.
        seed: of the rotation.

    Returns:
        A network of the same class, in eval mode, whose weights have their old types.

    Raises:
        NetworkError: it is no such network, or the copy's outputs differ from its own; the
            message says what stands against it.
        DataError: it does not run on the example.
        SettingsError: another `rotate` or `seed`.
    """
    require_network(network)
    seed = whole_number("seed", seed, 0, LARGEST_SEED)
    kind = _kind(rotate)
    prepared = independent_copy(network).eval()
    give_own_head(prepared)
    arguments = _example(prepared) if example_input is None else as_arguments(example_input)
    before = _outputs(prepared, arguments)
    stream = find_residual_stream(prepared, lambda: _outputs(prepared, arguments))
    _untie(prepared, stream)
    _fold_gains(stream)
    if kind is not None:
        _rotate(stream, ROTATIONS[kind](stream.width, seed))
    _require_same(before, _outputs(prepared, arguments))
    return prepared


def _kind(rotate: bool | str) -> Rotation | None:
    match rotate:
        case True | "orthogonal":
            return "orthogonal"
        case "hadamard":
            return "hadamard"
        case False:
            return None
    raise SettingsError(f"prepare: rotate={rotate!r}, use True, False, {', '.join(ROTATIONS)}")


def _example(network: nn.Module) -> tuple[Tensor, ...]:
    embedding = find_embedding(network)
    generator = torch.Generator("cpu").manual_seed(0)
    tokens = torch.randint(embedding.num_embeddings, EXAMPLE_SHAPE, generator=generator)
    return (tokens.to(embedding.weight.device),)


def _outputs(network: nn.Module, arguments: Arguments) -> Tensor:
    """Return the first tensor of the outputs: a language model's logits."""
    outputs: Any = outputs_of(network, arguments, "example_input")
    while not isinstance(outputs, Tensor):
        if isinstance(outputs, Mapping):
            outputs = tuple(outputs.values())
        if not isinstance(outputs, Sequence) or not outputs:
            raise NetworkError(f"{REFUSED}: its outputs are a {type(outputs).__name__}")
        outputs = outputs[0]
    return outputs


def _untie(network: nn.Module, stream: ResidualStream) -> None:
    """Give a layer that shares the embedding's weight one of its own."""
    shared = stream.embedding.weight
    for _, layers in stream.readers:
        for layer in layers:
            if layer.weight is shared:
                layer.weight = nn.Parameter(shared.detach().clone(), shared.requires_grad)
    config = getattr(network, "config", None)
    if getattr(config, "tie_word_embeddings", False):
        config.tie_word_embeddings = False  # type: ignore[union-attr]


def _fold_gains(stream: ResidualStream) -> None:
    for norm, layers in stream.readers:
        gain = norm.weight
        assert isinstance(gain, Tensor)
        for layer in layers:
            _write(layer.weight, layer.weight.double() * gain.double())
        gain.fill_(1.0)


def _rotate(stream: ResidualStream, rotation: Tensor) -> None:
    """Rotate the stream: `x` becomes `x @ rotation` wherever it is written and read."""
    rotation = rotation.to(stream.embedding.weight.device)
    _write(stream.embedding.weight, stream.embedding.weight.double() @ rotation)
    for _, layers in stream.readers:
        for layer in layers:
            _write(layer.weight, layer.weight.double() @ rotation)
    for layer in stream.writers:
        _write(layer.weight, rotation.T @ layer.weight.double())
        if layer.bias is not None:
            _write(layer.bias, layer.bias.double() @ rotation)


def _write(parameter: Tensor, value: Tensor) -> None:
    parameter.copy_(value)  # in place, so that its type and strides stay


def _require_same(before: Tensor, after: Tensor) -> None:
    """Raise `NetworkError` unless outputs agree up to what the weights' type rounds."""
    largest = float(before.abs().max())
    difference = float((after - before).abs().max())
    if not difference <= math.sqrt(torch.finfo(before.dtype).eps) * largest:
        raise NetworkError(
            f"{REFUSED}: the outputs would change by {difference:.3g} (they go up to "
            f"{largest:.3g}), so something reads the stream in another way than through an RMSNorm "
            f"and Linear layers"
        )
