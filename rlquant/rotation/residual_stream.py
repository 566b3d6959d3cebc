"""The residual stream of an RMSNorm transformer: what writes to it and what reads from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.copying.rebinding import storage_of
from rlquant.errors import NetworkError
from rlquant.network_inputs import first_input
from rlquant.rotation.orthogonal import random_orthogonal

REFUSED = "prepare: the residual stream cannot be rotated"
ALIKE = 1e-4
"""Relative difference up to which float32 outputs count as the same."""


@dataclass(frozen=True, slots=True)
class ResidualStream:
    """The modules of a network that touch its residual stream, each once.

    Attributes:
        embedding: its rows start the stream.
        readers: RMSNorms, each with the Linear layers that take its outputs.
        writers: Linear layers whose outputs are added to the stream.
    """

    embedding: nn.Embedding
    readers: tuple[tuple[nn.Module, tuple[nn.Linear, ...]], ...]
    writers: tuple[nn.Linear, ...]

    @property
    def width(self) -> int:
        """Numbers of the stream at one position."""
        return self.embedding.embedding_dim


def find_embedding(network: nn.Module) -> nn.Embedding:
    """Return the embedding of tokens; `NetworkError` unless there is just one embedding."""
    found = {n: m for n, m in network.named_modules() if isinstance(m, nn.Embedding)}
    if len(found) != 1:
        names = f": {', '.join(list(found)[:4])}" if found else ""
        raise NetworkError(f"{REFUSED}: there are {len(found)} embeddings{names}; it takes one")
    return next(iter(found.values()))


def find_residual_stream(network: nn.Module, run: Callable[[], object]) -> ResidualStream:
    """Return the residual stream of a network, found by what feeds what in one forward pass.

    Args:
        network: in eval mode.
        run: runs it on an example.

    Raises:
        NetworkError: it is no RMSNorm transformer; the message says what was met.
    """
    embedding = find_embedding(network)
    width = embedding.embedding_dim
    norms = dict(_norms(network, width))
    readers, called = _readers(network, norms, run)
    for name, reading in readers.items():
        if not reading:
            raise NetworkError(
                f"{REFUSED}: no Linear layer takes the outputs of {name!r}, so that its gain "
                f"cannot be folded"
            )
    every_reader = {id(layer) for reading in readers.values() for layer in reading}
    writers = {n: layer for n, layer in called.items() if id(layer) not in every_reader}
    for name, layer in writers.items():
        if layer.out_features != width:
            raise NetworkError(
                f"{REFUSED}: {name!r} takes no RMSNorm's outputs and gives {layer.out_features} "
                f"numbers, which are not the {width} of the stream"
            )
    return ResidualStream(
        embedding,
        tuple((norms[name], reading) for name, reading in readers.items()),
        tuple(writers.values()),
    )


def _norms(network: nn.Module, width: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield the RMSNorms of the stream; `NetworkError` for another gain of its width."""
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if "weight" not in own or own["weight"].shape != (width,):
            continue
        if len(own) > 1 or not _is_rms_norm(module, width):
            raise NetworkError(
                f"{REFUSED}: {name!r} ({type(module).__name__}) is not weight * x / rms(x), the "
                f"norm that commutes with rotations"
            )
        yield name, module


def _is_rms_norm(module: nn.Module, width: int) -> bool:
    """Return whether a norm is its weight times something that commutes with a rotation."""
    generator = torch.Generator("cpu").manual_seed(0)
    gain, x = torch.randn(2, width, generator=generator)
    rotation = random_orthogonal(width, seed=1).float()
    device = next(module.parameters()).device

    def answer(inputs: Tensor, weight: Tensor) -> Tensor:
        state = {"weight": weight.to(device)}
        found = torch.func.functional_call(module, state, (inputs[None].to(device),))
        return found[0].cpu()  # type: ignore[no-any-return]

    plain = answer(x, torch.ones(width))
    rotated = answer(x @ rotation, torch.ones(width))
    return _alike(rotated, plain @ rotation) and _alike(answer(x, gain), plain * gain)


def _alike(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= ALIKE * expected.abs().max())


def _readers(
    network: nn.Module, norms: Mapping[str, nn.Module], run: Callable[[], object]
) -> tuple[dict[str, tuple[nn.Linear, ...]], dict[str, nn.Linear]]:
    """Return the Linear layers that take each norm's outputs, and all that were called."""
    written: dict[int | None, str] = {}
    kept: list[Any] = []  # memory that is held is not used for another tensor
    readers: dict[str, dict[int, nn.Linear]] = {name: {} for name in norms}
    called: dict[str, nn.Linear] = {}

    def after_norm(name: str) -> Callable[..., None]:
        def note(_: nn.Module, __: Any, output: Tensor) -> None:
            kept.append(output)
            written[storage_of(output)] = name

        return note

    def before_linear(name: str) -> Callable[..., None]:
        def note(layer: nn.Linear, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            called[name] = layer
            source = written.get(storage_of(first_input(args, keywords)))
            if source is not None:
                readers[source][id(layer)] = layer

        return note

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if name in norms:
                hooks.enter_context(module.register_forward_hook(after_norm(name)))
            elif isinstance(module, nn.Linear):
                hook = module.register_forward_pre_hook(before_linear(name), with_kwargs=True)
                hooks.enter_context(hook)
        run()
    return {name: tuple(found.values()) for name, found in readers.items()}, called
