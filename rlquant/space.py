"""The search space: options per layer, and actions as choices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.arguments import explained
from rlquant.config import (
    PRESCRIBED_BITS,
    Fidelity,
    GroupSize,
    LayerChoice,
    Method,
    Points,
    Rounding,
)
from rlquant.errors import ChoiceError, unknown_name
from rlquant.layer_names import matching, stands_for
from rlquant.layers import LayerFacts
from rlquant.network_kind import has_attention, is_measured, is_transformer_like
from rlquant.tie import as_ties, resolve_ties
from rlquant.weight_sites import WeightSite, weight_sites

HEADS = ("bits", "rounding", "method", "points", "activation_bits", "group_size")
"""The decisions of a layer, in the order in which actions give them."""

_ANY_LAYER = ""
Fields = tuple[tuple[str, tuple[Any, ...]], ...]
"""Options by decision, in a form that never changes."""
Override = tuple[tuple[str, Fields], ...] | Mapping[str, Mapping[str, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Head:
    """One decision that is asked for each layer: its name and what it may be."""

    name: str
    options: tuple[Any, ...]


@dataclass(frozen=True)
class SearchSpace:
    """The options of every searched layer; decisions with one option are not asked.

    Attributes:
        bits, rounding, method, points, group_size, activation_bits: the options of the fields of
            `LayerChoice`.
        exclude: layers that stay in float32 and are not searched: names, or shell patterns such as
            "*.embed_tokens".
        override: options that some layers have in place of these, by name or shell pattern:
            `{"*.down_proj": {"bits": (3, 4)}}`. Of two that set the same, the later counts.
        tie: layers that share one decision: a pattern, a mapping of names to patterns, a function
            of the layers such as `rlquant.tie.fused`, or a sequence of these.

    Examples:
        >>> from rlquant import SearchSpace
        >>> space = SearchSpace(bits=(2, 4, 8), points=("clipped", "kmeans"))
        >>> len(space.options())
        6
    """

    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    rounding: tuple[Rounding, ...] = ("nearest",)
    method: tuple[Method, ...] = ("post_training",)
    points: tuple[Points | str, ...] = ("clipped",)
    group_size: tuple[GroupSize, ...] = ("channel",)
    activation_bits: tuple[int | None, ...] = (None,)
    exclude: tuple[str, ...] = ()
    override: Override = ()
    tie: Any = ()

    @explained
    def __post_init__(self) -> None:
        for field in (*HEADS, "exclude"):
            value = getattr(self, field)
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ChoiceError(f"SearchSpace: {field}={value!r}, give a tuple of options")
            object.__setattr__(self, field, tuple(value))
            if field != "exclude" and not value:
                raise ChoiceError(f"SearchSpace: {field} is empty, give at least one option")
            if len(set(value)) != len(value):
                raise ChoiceError(f"SearchSpace: {field}={value!r} names an option twice")
        for name in self.exclude:
            if not isinstance(name, str):
                raise ChoiceError(f"SearchSpace: exclude names layers by their str, not {name!r}")
        object.__setattr__(self, "tie", as_ties(self.tie))
        object.__setattr__(self, "override", tuple(self._overrides()))
        for field in HEADS:  # each option must exist in some choice, with the others at their best
            for option in getattr(self, field):
                plain: dict[str, Any] = {"bits": PRESCRIBED_BITS.get(option, 4), field: option}
                LayerChoice("any", **plain)
        if not self.options():
            raise ChoiceError(
                "SearchSpace: no combination of the options is legal; points with a stored "
                "codebook (quantile, kmeans, learned) take at most 8 bits, those of a file format "
                f"have one width ({PRESCRIBED_BITS})"
            )

    def _overrides(self) -> Iterator[tuple[str, Fields]]:
        """Yield what `override` says as tuples, which are the same however it was written."""
        for pattern, given in _pairs(self.override, "override"):
            if not isinstance(pattern, str):
                raise ChoiceError(f"SearchSpace: override names layers by their str: {pattern!r}")
            fields = dict(_pairs(given, f"override[{pattern!r}]"))
            for field in fields.keys() - set(HEADS):
                raise unknown_name(f"decision in override[{pattern!r}]", str(field), HEADS)
            try:
                own = replace(self, override=(), **fields)
            except ChoiceError as error:
                raise ChoiceError(f"override[{pattern!r}]: {error}") from error
            yield pattern, tuple((field, getattr(own, field)) for field in fields)

    @classmethod
    def for_network(cls, network: nn.Module, fidelity: Fidelity = "calibrated") -> SearchSpace:
        """Return the space that suits a network, which is searched where none is given.

        Transformers (LayerNorms or RMSNorms, attention, no BatchNorm) have weights rounded by
        GPTQ, in small groups or with one scale a channel: the nearest point loses too much there.
        Layers without a layer Hessian, such as embeddings, round to nearest. All other networks
        have one scale a channel, and nearest. Parts of modules are not trained.

        Args:
            network: the float network; not changed.
            fidelity: where configurations are trained, the space is `TRAINING_SPACE`.
        """
        transformer = is_transformer_like(network) and has_attention(network)
        sites = weight_sites(network).values()
        if fidelity != "calibrated":
            space, parts = default_space(fidelity), [s.layer for s in sites if s.is_part]
            untrained: dict[str, Any] = {"method": ("post_training",), "points": UNTRAINED_POINTS}
            return replace(space, override=dict.fromkeys(parts, untrained))
        if not transformer:
            return default_space(fidelity)
        nearest = {"rounding": ("nearest",)}
        unmeasured = [s.layer for s in sites if not _has_hessian(s, network)]
        return cls(
            rounding=("gptq",),
            group_size=("channel", 128, 64, 32),
            override=dict.fromkeys(unmeasured, nearest),
        )

    def without_overrides(self, idle: Iterable[str], searched: Iterable[str]) -> SearchSpace:
        """Return the space without what `override` says of idle layers and of no searched one."""
        idle, searched = tuple(idle), tuple(searched)

        def counts(pattern: str) -> bool:
            def means(names: Iterable[str]) -> bool:
                return any(stands_for(pattern, name) for name in names)

            return means(searched) or not means(idle)

        return replace(self, override=tuple(each for each in self._given if counts(each[0])))

    @property
    def _given(self) -> tuple[tuple[str, Fields], ...]:
        """`override` in the form in which it is held."""
        return self.override  # type: ignore[return-value]

    @cached_property
    def whole(self) -> SearchSpace:
        """The space of all layers together: every option that some layer has."""
        found = {field: dict.fromkeys(getattr(self, field)) for field in HEADS}
        for field, options in itertools.chain(*(given for _, given in self._given)):
            found[field] |= dict.fromkeys(options)
        return replace(self, override=(), **{f: tuple(options) for f, options in found.items()})

    def of_layer(self, layer: str) -> SearchSpace:
        """Return the space of one layer, without `override`."""
        own = [given for pattern, given in self._given if stands_for(pattern, layer)]
        return replace(self, override=(), **dict(itertools.chain(*own)))

    @explained
    def own_options(
        self, layers: Sequence[str], fidelity: Fidelity = "calibrated"
    ) -> npt.NDArray[np.bool_]:
        """Return which of `options` each layer has, shape `(layers, options)`.

        Raises:
            UnknownNameError: `override` has a name or pattern of no layer.
        """
        for pattern, _ in self._given:
            matching("layer in override", [pattern], layers)
        index = {option: i for i, option in enumerate(self.options(fidelity))}
        own = np.zeros((len(layers), len(index)), dtype=np.bool_)
        for row, layer in zip(own, layers, strict=True):
            row[[index[option] for option in self.of_layer(layer).options(fidelity)]] = True
        return own

    @explained
    def decisions(self, layers: Sequence[LayerFacts]) -> dict[str, tuple[str, ...]]:
        """Return the layers of each decision, both in execution order; see `tie`.

        Raises:
            SettingsError: a layer in two ties, or a tie named as a layer outside of it.
            UnknownNameError: a tie has a name or pattern of no layer.
        """
        return resolve_ties(self.tie, layers)

    def mapped(self, change: Callable[[str, tuple[Any, ...]], tuple[Any, ...]]) -> SearchSpace:
        """Return the space with `change(decision, options)` in place of all options."""
        override = tuple(
            (pattern, tuple((field, change(field, options)) for field, options in given))
            for pattern, given in self._given
        )
        fields: dict[str, Any] = {field: change(field, getattr(self, field)) for field in HEADS}
        return replace(self, override=override, **fields)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """The decisions that are asked, in the order of `HEADS`; at least one."""
        whole = self.whole if self.override else self
        asked = tuple(
            Head(name, getattr(whole, name)) for name in HEADS if len(getattr(whole, name)) > 1
        )
        return asked or (Head("bits", self.bits),)

    @cached_property
    def actions(self) -> npt.NDArray[np.int64]:
        """Every action of one layer, shape `(actions, heads)`, legal or not."""
        sizes = [range(len(head.options)) for head in self.heads]
        return np.array(list(itertools.product(*sizes)), dtype=np.int64)

    @explained
    def choice(self, layer: str, action: Sequence[int]) -> LayerChoice | None:
        """Return the choice an action stands for, or None where the combination is illegal.

        Args:
            layer: name of the layer.
            action: one option index per head, in `[0, len(head.options))`.

        Raises:
            ChoiceError: more or fewer indices than heads, or one outside its options.
        """
        sizes = [len(head.options) for head in self.heads]
        if len(action) != len(sizes) or not all(map(range.__contains__, map(range, sizes), action)):
            raise ChoiceError(f"action={action!r}, use one index below each of {sizes}")
        fields = {name: getattr(self, name)[0] for name in HEADS}
        for head, index in zip(self.heads, action, strict=True):
            fields[head.name] = head.options[index]
        return _legal(layer, fields)

    def options(self, fidelity: Fidelity = "calibrated") -> tuple[LayerChoice, ...]:
        """Return the distinct canonical choices of a layer, in the order of the actions.

        The layer's name is left empty; see `for_layer`.
        """
        choices = (self.choice(_ANY_LAYER, action) for action in self.actions.tolist())
        return tuple(dict.fromkeys(c.canonical(fidelity) for c in choices if c is not None))

    def option_of_action(self, fidelity: Fidelity = "calibrated") -> npt.NDArray[np.int64]:
        """Return for every row of `actions` its index in `options`, -1 where it is illegal."""
        index = {choice: i for i, choice in enumerate(self.options(fidelity))}
        choices = (self.choice(_ANY_LAYER, action) for action in self.actions.tolist())
        return np.array([-1 if c is None else index[c.canonical(fidelity)] for c in choices])

    def at(self, fidelity: Fidelity) -> SearchSpace:
        """Return the space without the options that mean nothing of their own at `fidelity`.

        Without a training step a distilled layer is a post-training one, and learned points are
        the quantile points they start from.
        """
        if fidelity != "calibrated":
            return self
        starts = {"method": {"distilled": "post_training"}, "points": {"learned": "quantile"}}
        return self.mapped(
            lambda field, options: tuple(
                dict.fromkeys(starts.get(field, {}).get(option, option) for option in options)
            )
        )


def _has_hessian(site: WeightSite, network: nn.Module) -> bool:
    return not site.is_part and is_measured(site.owner_in(network))


def for_layer(choice: LayerChoice, layer: str) -> LayerChoice:
    """Return `choice` for the layer named `layer`."""
    return replace(choice, layer=layer)


def _pairs(given: Any, what: str) -> list[tuple[Any, Any]]:
    """Return the pairs of a mapping, or of a sequence of pairs."""
    try:
        return [(key, value) for key, value in getattr(given, "items", lambda: given)()]
    except (TypeError, ValueError) as error:
        raise ChoiceError(
            f"SearchSpace: {what}={given!r}, give options by decision by layer, e.g. "
            f'override={{"*.down_proj": {{"bits": (3, 4)}}}}'
        ) from error


def _legal(layer: str, fields: dict[str, Any]) -> LayerChoice | None:
    try:
        return LayerChoice(layer, **fields)
    except ChoiceError:
        if fields["method"] in ("ternary", "float"):  # points mean nothing, so cannot be wrong
            return LayerChoice(layer, **{**fields, "points": "symmetric"})
        return None


TRAINING_SPACE = SearchSpace(
    bits=(2, 3, 4, 5, 6, 7, 8),
    rounding=("nearest", "stochastic"),
    method=("post_training", "ternary", "distilled"),
    points=("symmetric", "clipped", "fixed_point", "affine", "quantile", "kmeans", "learned"),
)
"""Everything that training can make of a layer with float activations."""


UNTRAINED_POINTS = tuple(points for points in TRAINING_SPACE.points if points != "learned")
"""The points of `TRAINING_SPACE` for layers that cannot be trained."""


def default_space(fidelity: Fidelity) -> SearchSpace:
    """Return the space of networks that are no transformers: all methods where networks train."""
    return SearchSpace() if fidelity == "calibrated" else TRAINING_SPACE
