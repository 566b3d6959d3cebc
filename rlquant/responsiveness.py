"""Check that layers respond to their weights; layers that do not are refused.

A layer may compute with something else than its weight, such as a copy of it that it keeps. Then
any number of bits would score as float does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves, tree_map

from rlquant.ambient import seeded
from rlquant.copying.network_copy import copy_network
from rlquant.errors import NetworkError, RlquantError
from rlquant.forward_pass import Arguments, copies, run
from rlquant.weight_sites import WeightSite, site_of

Run = Callable[[], Any]

TOLERANCE = 1e-4
"""How far outputs of one function may differ on accelerators, relative to the largest."""


def require_responsive(network: nn.Module, inputs: Arguments, names: Sequence[str]) -> None:
    """Raise `NetworkError` unless layers answer to their weights, however those are exchanged.

    Each layer is run with other weights on the inputs that it has in one pass of the network; then
    the whole network with weights exchanged in the two ways that evaluations and quantized
    networks do it, which must give the same outputs. A layer that is never called passes.

    Args:
        network: left as it is.
        inputs: arguments of a forward pass, of a few samples.
        names: of the layers, which have a floating-point parameter for a weight.
    """
    watched = _Watched(copy_network(network), names)
    watched.run(inputs)
    for name, silent in watched.silent.items():
        if silent is not None:
            raise _unresponsive(name, silent)
    del watched  # large: its copy of the network
    try:
        _require_alike(network, inputs, names)
    except RlquantError:
        raise
    except Exception as error:  # the network's own code, which ran before
        reason = (str(error).splitlines() or [""])[0][:150]
        raise NetworkError(
            f"the network does not run when its layers' weights are exchanged or parametrized "
            f"({type(error).__name__}: {reason}); let it use the layers' modules alone"
        ) from error


def require_responsive_alone(
    network: nn.Module, examples: Mapping[str, tuple[Tensor, ...]]
) -> None:
    """Raise `NetworkError` where a layer that is run alone does not answer to its weight.

    For networks of whose inputs nothing is known. Layers that do not run on their example pass.

    Args:
        network: left as it is.
        examples: by layer, what the module that computes with its weight is run on.
    """
    clone = copy_network(network) if examples else network
    for name, example in examples.items():
        site = site_of(clone, name)
        runner = site.runner_in(clone)
        try:
            with torch.no_grad():
                silent = _silence(clone, site, lambda r=runner, x=example: _called(r, x, {}))  # type: ignore[misc]
        except Exception:
            continue
        if silent is not None:
            raise _unresponsive(name, silent)


def _unresponsive(name: str, silent: str) -> NetworkError:
    return NetworkError(
        f"layer {name!r}: it gives the same outputs with other weights ({silent}), so that "
        f"quantizing it has no effect; let its forward compute with its attribute, not "
        f"with a copy or view of it, or name the layer in exclude"
    )


class _Watched:
    """A copy of a network whose layers are tried out when a pass calls them."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        self.silent: dict[str, str | None] = {}
        self._network, self._busy = network, False
        self._hooks = ExitStack()
        for site in (site_of(network, name) for name in names):
            runner = site.runner_in(network)
            hook = runner.register_forward_hook(self._hook(site), with_kwargs=True)
            self._hooks.callback(hook.remove)

    @torch.no_grad()
    def run(self, inputs: Arguments) -> None:
        """Run the network; afterwards `silent` says of each layer called how it did not answer."""
        with seeded(0), self._hooks:  # off again, so that the copy goes at once
            run(self._network, copies(inputs))

    def _hook(self, site: WeightSite) -> Any:
        name = site.layer

        def hook(module: nn.Module, args: Any, keywords: Any, output: Any) -> None:
            if self._busy or self.silent.get(name, "not called yet") is None:
                return  # inside another layer that is tried out, or known to answer
            self._busy = True
            try:
                self.silent[name] = _silence(
                    self._network, site, lambda: _called(module, args, keywords)
                )
            except Exception as error:  # the layer's own code, which may raise anything
                reason = (str(error).splitlines() or [""])[0][:150]
                self.silent[name] = f"run again, it fails: {type(error).__name__}: {reason}"
            finally:
                self._busy = False

        return hook


def _silence(network: nn.Module, site: WeightSite, run: Run) -> str | None:
    """Say in which way of exchanging its weight a layer gives the outputs that it gave before."""
    before = _drawn_alike(run)
    if not any_finite(before):
        return None  # nothing to compare, as where no token reaches an expert
    for exchange in EXCHANGES:
        others = _other_weights(site.weight_in(network))
        if not any(_changes(network, site, run, before, exchange, v) for v in others):
            return f"exchanged as {EXCHANGES[exchange]}"
    return None


def _changes(
    network: nn.Module,
    site: WeightSite,
    run: Run,
    before: Any,
    exchange: Exchange,
    values: Tensor,
) -> bool:
    with exchange(network, site, values):
        try:
            after = _drawn_alike(run)
        except Exception:  # a layer that cannot run with these weights does notice them
            if exchange is parametrized:
                raise
            return True
    return not same_outputs(before, after)


def _other_weights(weight: Tensor) -> Iterator[Tensor]:
    """Yield weights that change the outputs: random ones, and NaN for inputs that are all zero."""
    with seeded(0):
        noise = torch.empty_like(weight).normal_()
    yield noise
    yield torch.full_like(weight, torch.nan)


def _require_alike(network: nn.Module, inputs: Arguments, names: Sequence[str]) -> None:
    """Raise `NetworkError` unless fresh copies give the same outputs in both ways."""

    def differ(layers: Sequence[str], ways: Iterable[Put] = (put_data, put_parametrized)) -> bool:
        both = [_with_halves(copy_network(network), inputs, layers, way) for way in ways]
        return not same_outputs(*both)

    if differ(names) and not differ(names, [put_data, put_data]):  # else it differs anyway
        shown = ", ".join(repr(name) for name in names if differ([name]))
        raise NetworkError(
            f"layers {shown[:150]}: the network gives other outputs when their weights are "
            f"parametrized than when they are exchanged as data; let it use the layers' modules "
            f"and their attribute weight alone, no stored view of it and no test of a layer's class"
        )


@torch.no_grad()
def _with_halves(clone: nn.Module, inputs: Arguments, names: Sequence[str], put: Put) -> Any:
    """Return the outputs of a network with half the weights in some layers, which stay there."""
    for site in distinct_sites(clone, names):
        put(clone, site, site.weight_in(clone) / 2)
    return _drawn_alike(lambda: run(clone, copies(inputs)))


def distinct_sites(network: nn.Module, names: Iterable[str]) -> list[WeightSite]:
    """Return the sites of layers; a module that has several names once."""
    sites = [site_of(network, name) for name in names]
    return list({(id(s.owner_in(network)), s.parameter): s for s in reversed(sites)}.values())[::-1]


# --- two ways of exchanging weights


def put_data(network: nn.Module, site: WeightSite, values: Tensor) -> None:
    """Give a layer other weights as evaluations do it."""
    site.weight_in(network).data = values


def put_parametrized(network: nn.Module, site: WeightSite, values: Tensor) -> None:
    """Give a layer other weights as quantized networks do it."""
    weight = site.weight_in(network).detach()
    weight.copy_(values)
    fixed = _Fixed(weight)  # as large as the network: `values` may go
    owner = site.owner_in(network)
    parametrize.register_parametrization(owner, site.parameter, fixed, unsafe=True)


@contextmanager
def as_data(network: nn.Module, site: WeightSite, values: Tensor) -> Iterator[None]:
    """Exchange a weight as evaluations do it."""
    weight = site.weight_in(network)
    original = weight.data
    put_data(network, site, values)
    try:
        yield
    finally:
        weight.data = original


@contextmanager
def parametrized(network: nn.Module, site: WeightSite, values: Tensor) -> Iterator[None]:
    """Exchange a weight as quantized networks do it."""
    owner, name, weight = site.owner_in(network), site.parameter, site.weight_in(network)
    original = weight.detach().clone()
    put_parametrized(network, site, values)
    try:
        yield
    finally:
        parametrize.remove_parametrizations(owner, name, leave_parametrized=False)
        weight.detach().copy_(original)


Put = Callable[[nn.Module, WeightSite, Tensor], None]
Exchange = Callable[[nn.Module, WeightSite, Tensor], AbstractContextManager[None]]
EXCHANGES: dict[Exchange, str] = {as_data: "data", parametrized: "a parametrization"}


class _Fixed(nn.Module):
    """A parametrization that gives the same values whatever the parameter holds."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)

    def forward(self, latent: Tensor) -> Any:
        """Return the values."""
        return self.values


# --- outputs


def any_finite(outputs: Any) -> bool:
    """Return whether a number in some outputs is finite, so that they can be compared."""
    tensors = (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))
    return any(bool(torch.isfinite(tensor).any()) for tensor in tensors)


def same_outputs(one: Any, other: Any) -> bool:
    """Return whether two outputs are the same: on the CPU bit for bit, NaN equal to NaN."""
    ours, theirs = tree_leaves(one), tree_leaves(other)
    return len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return isinstance(one, Tensor) == isinstance(other, Tensor)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.device.type == "cpu" or not one.is_floating_point() or not one.numel():
        equal = one == other
        return bool((equal | (one.isnan() & other.isnan())).all())
    scale = float(one.abs().nan_to_num(0, 0, 0).max())
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)


def _drawn_alike(run: Run) -> Any:
    with seeded(0):
        return run()


def _called(module: nn.Module, args: Any, keywords: Any) -> Any:
    """Call a module with copies, which it may write to; a tensor that is given twice stays one."""
    copied: dict[int, Tensor] = {}

    def copy(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in copied:
            copied[id(value)] = value.clone()
        return copied[id(value)]

    args, keywords = tree_map(copy, (args, keywords))
    return module(*args, **keywords)
