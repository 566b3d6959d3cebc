"""Quantization configurations: one layer's choice, and the whole network's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

from rlquant.arguments import explained
from rlquant.documents import parse_json, read_as
from rlquant.errors import ChoiceError, ConfigFormatError, FileFormatError
from rlquant.plugins import FORMATS, place, plugins

Method = Literal["float", "post_training", "ternary", "distilled"]
Rounding = Literal["nearest", "stochastic", "gptq", "learned"]
Points = Literal[
    "symmetric",
    "clipped",
    "fixed_point",
    "affine",
    "quantile",
    "kmeans",
    "learned",
    "affine_step",
    "linear",
    "k_affine",
    "k_symmetric",
    "zero_point",
    "signed_scale",
    "iq4_nl",
    "mxfp4",
    "tied_ternary",
]
Fidelity = Literal["calibrated", "tuned", "trained"]
GroupSize = int | Literal["channel", "tensor"]

METHODS: tuple[Method, ...] = get_args(Method)
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
POINTS: tuple[Points, ...] = get_args(Points)
FIDELITIES: tuple[Fidelity, ...] = get_args(Fidelity)

HESSIAN_BASED: frozenset[str] = frozenset({"gptq", "learned"})
"""Roundings that look at what the layer gives out, so that they need the moments of its inputs."""

STORED_CODEBOOKS: frozenset[str] = frozenset({"quantile", "kmeans", "learned"})
"""Points whose codebook is stored with the layer; the others are implied by kind and bits."""

PRESCRIBED_BITS: Mapping[str, int] = {"iq4_nl": 4, "mxfp4": 4, "tied_ternary": 2}
"""Points whose codebook a file format prescribes, with the one width that they have."""

ONE_SCALE: frozenset[str] = frozenset({"fixed_point"})
"""Points with one scale for the whole tensor, whatever the group size says."""

FLOAT_BITS = 32
"""The width of a layer that is kept; only `method="float"` may carry it."""
TERNARY_BITS = 2
"""The width of a ternary layer in bit-operations."""

LARGEST_GROUP = 2**16
"""The most weights that a group size counts; "channel" and "tensor" have no limit."""

CONFIG_VERSION = 2


def is_group_size(value: object) -> bool:
    """Return whether a value is "channel", "tensor" or a whole number in 1..`LARGEST_GROUP`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return 1 <= value <= LARGEST_GROUP
    return isinstance(value, str) and value in ("channel", "tensor")


def is_points(value: object) -> bool:
    """Return whether a value names points: ours, or a weight format that a package adds."""
    if value in POINTS:
        return True
    try:
        return isinstance(value, str) and bool(place(FORMATS, value))
    except KeyError:
        return False


def widths_of(points: str) -> range:
    """Return the widths that codes may have with some points."""
    if points in PRESCRIBED_BITS:
        return range(PRESCRIBED_BITS[points], PRESCRIBED_BITS[points] + 1)
    return range(1, 9 if points in STORED_CODEBOOKS else 17)


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """One layer's decision.

    Attributes:
        layer: module path, e.g. "blocks.0.conv1".
        bits: width of a weight's code; 1..16 for implied codebooks, 1..8 for stored ones, the one
            that there is for those of a file format (iq4_nl, mxfp4: 4; tied_ternary: 2).
        rounding: rule by which a weight goes to one of its two neighbouring points.
        method: how the quantized layer comes about; "float" leaves it in float32.
        points: where the quantization points lie: one of `POINTS`, or the name of a weight format
            that a package adds by an entry point.
        group_size: weights that share a scale: those of an output channel ("channel"), of the
            whole tensor ("tensor"), or so many consecutive ones (1..65536) of a channel's inputs;
            the last group of a channel may be shorter.
        activation_bits: width of the layer's input, 2..16; `None` leaves it float.

    Examples:
        >>> from rlquant import LayerChoice
        >>> LayerChoice("last", 4, points="clipped").bits
        4
        >>> LayerChoice("last", 40)
        Traceback (most recent call last):
        ...
        rlquant.errors.ChoiceError: ...
    """

    layer: str
    bits: int
    rounding: Rounding = "nearest"
    method: Method = "post_training"
    points: Points | str = "symmetric"
    group_size: GroupSize = "channel"
    activation_bits: int | None = None

    @explained
    def __post_init__(self) -> None:
        if not isinstance(self.layer, str):
            raise ChoiceError(f"layer={self.layer!r}, use the name of a layer, a str")
        self._require("method", self.method, METHODS)
        self._require("rounding", self.rounding, ROUNDINGS)
        if not is_points(self.points):
            self._require("points", self.points, (*POINTS, *plugins(FORMATS)))
        if not (self.method == "float" and self.bits == FLOAT_BITS):
            widths = widths_of(self.points)
            note = f" with points={self.points!r}"
            self._require_width("bits", self.bits, widths[0], widths[-1], note)
        if not is_group_size(self.group_size):
            raise ChoiceError(
                f"layer {self.layer!r}: group_size={self.group_size!r}, "
                f'use "channel", "tensor" or a whole number in 1..{LARGEST_GROUP}'
            )
        if self.activation_bits is not None:
            self._require_width("activation_bits", self.activation_bits, 2, 16, " or None")

    def _require(self, field: str, value: object, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise ChoiceError(f"layer {self.layer!r}: {field}={value!r}, use one of {allowed}")

    def _require_width(self, field: str, value: object, low: int, high: int, note: str) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not low <= value <= high:  # type: ignore[operator]
            raise ChoiceError(
                f"layer {self.layer!r}: {field}={value!r}, "
                f"use a whole number in {low}..{high}{note}"
            )

    @property
    def arithmetic_bits(self) -> int:
        """Weight width that bit-operations count: 32 when kept, 2 when ternary."""
        if self.method == "float":
            return FLOAT_BITS
        return TERNARY_BITS if self.method == "ternary" else self.bits

    @property
    def group_in_words(self) -> str:
        """Which weights share a scale, e.g. "groups of 64" or "per channel"."""
        size = self.group_size
        return f"per {size}" if isinstance(size, str) else f"groups of {size}"

    @property
    def in_words(self) -> str:
        """What is unusual of it in words, e.g. "3 bits, clipped, nearest, groups of 64"."""
        if self.method == "float":
            return "float32"
        words = ["ternary"]
        if self.method != "ternary":
            bits = "1 bit" if self.bits == 1 else f"{self.bits} bits"
            words = [bits, plain_name(self.points), plain_name(self.rounding)]
        if self.method == "distilled":
            words.append("distilled")
        if self.group_size != "channel":
            words.append(self.group_in_words)
        if self.activation_bits is not None:
            words.append(f"{self.activation_bits}-bit inputs")
        return ", ".join(words)

    @property
    def decided(self) -> tuple[str, ...]:
        """The decisions besides bits that mean something under the choice's method."""
        if self.method == "float":
            return ("method",)
        if self.method == "ternary":
            return ("method", "activation_bits")
        if self.points in ONE_SCALE:
            return ("method", "rounding", "points", "activation_bits")
        return ("method", "rounding", "points", "activation_bits", "group_size")

    def canonical(self, fidelity: Fidelity = "calibrated") -> LayerChoice:
        """Drop what has no effect, so that equal results have equal choices.

        A kept layer has nothing else; a ternary one has no bits, rounding, points or groups of its
        own; fixed point has one scale for the tensor, whatever the group size says; without a
        training step (`calibrated`) distilled is post_training and learned points are their
        quantile start; weights that training assigns again have no rounding by outputs.
        """
        if self.method == "float":
            return LayerChoice(self.layer, FLOAT_BITS, method="float")
        if self.method == "ternary":
            return LayerChoice(
                self.layer,
                TERNARY_BITS,
                method="ternary",
                activation_bits=self.activation_bits,
            )
        if self.points in ONE_SCALE and self.group_size != "channel":
            return replace(self, group_size="channel").canonical(fidelity)
        if fidelity != "calibrated":
            trained = self.method == "distilled" or self.points == "learned"
            plain = trained and self.rounding in HESSIAN_BASED
            return replace(self, rounding="nearest") if plain else self
        return replace(
            self,
            method="post_training",
            points="quantile" if self.points == "learned" else self.points,
        )


def plain_name(option: object) -> str:
    """Return an option's name as words."""
    named: dict[object, str] = {None: "float", "gptq": "GPTQ"}
    return named.get(option) or str(option).replace("_", " ")


def decisions_apart(a: LayerChoice, b: LayerChoice) -> int:
    """Return in how many decisions beside bits two choices differ."""
    fields = ("method", "points", "rounding", "activation_bits", "group_size")
    return sum(getattr(a, field) != getattr(b, field) for field in fields)


_FIELDS = tuple(field.name for field in fields(LayerChoice))


@dataclass(frozen=True)
class QuantizationConfig:
    """The decision for a whole network: one `LayerChoice` a layer, in execution order.

    Layers of the network that are not named are kept in float32.

    Examples:
        >>> from rlquant import LayerChoice, QuantizationConfig
        >>> config = QuantizationConfig((LayerChoice("hidden", 3), LayerChoice("last", 8)))
        >>> config["last"].bits
        8
        >>> QuantizationConfig.from_json(config.to_json()) == config
        True
        >>> print(config)
        hidden  3 bits, symmetric, nearest
        last    8 bits, symmetric, nearest
    """

    choices: tuple[LayerChoice, ...]

    @explained
    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        seen: set[str] = set()
        for choice in self.choices:
            if not isinstance(choice, LayerChoice):
                raise ChoiceError(f"QuantizationConfig: {choice!r} is no LayerChoice")
            if choice.layer in seen:
                raise ChoiceError(f"layer {choice.layer!r} has two choices; give one")
            seen.add(choice.layer)

    @classmethod
    @explained
    def uniform(cls, choice: LayerChoice, layers: Iterable[str]) -> QuantizationConfig:
        """Return the same choice for every layer.

        Args:
            choice: whatever layer it names.
            layers: names in execution order.

        Examples:
            >>> [c.layer for c in QuantizationConfig.uniform(LayerChoice("", 4), ("conv1", "fc"))]
            ['conv1', 'fc']
        """
        return cls(tuple(replace(choice, layer=layer) for layer in layers))

    def __str__(self) -> str:
        """Return a line for each layer, its name and what was decided."""
        width = max((len(choice.layer) for choice in self.choices), default=0)
        return "\n".join(f"{choice.layer:{width}}  {choice.in_words}" for choice in self.choices)

    def __iter__(self) -> Iterator[LayerChoice]:
        return iter(self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    @explained
    def __getitem__(self, layer: str) -> LayerChoice:
        """Return the choice of the layer named `layer`."""
        for choice in self.choices:
            if choice.layer == layer:
                return choice
        raise ChoiceError(f"no choice for layer {layer!r}; layers: {[c.layer for c in self]}")

    @explained
    def canonical(self, fidelity: Fidelity = "calibrated") -> QuantizationConfig:
        """Return the canonical form; equal canonical forms are one evaluation."""
        return QuantizationConfig(tuple(c.canonical(fidelity) for c in self.choices))

    @property
    def key(self) -> str:
        """Hash of exactly this configuration (hex), the same in every process."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_json(self, indent: int | None = None) -> str:
        """Write as versioned JSON."""
        return self._json if indent is None else json.dumps(self._document, indent=indent)

    @property
    def _document(self) -> dict[str, Any]:
        layers = [{name: getattr(c, name) for name in _FIELDS} for c in self.choices]
        return {"version": CONFIG_VERSION, "layers": layers}

    @cached_property
    def _json(self) -> str:
        return json.dumps(self._document)

    @classmethod
    @explained
    def from_json(cls, text: str) -> QuantizationConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigFormatError: not JSON, another version, or fields that no layer choice has.
        """
        try:
            return cls.from_document(parse_json(text))
        except FileFormatError as error:
            raise ConfigFormatError(f"no configuration: {error}") from error

    @classmethod
    def from_document(cls, document: Any) -> QuantizationConfig:
        """Read what the JSON of `to_json` holds; `FileFormatError` for anything else."""
        version = read_as(dict[str, Any], document).get("version")
        if version != CONFIG_VERSION:
            raise FileFormatError(
                f"it has version {version!r}, this rlquant reads {CONFIG_VERSION}"
            )
        return cls(read_as(_Document, document).layers)


@dataclass(frozen=True, slots=True)
class _Document:
    """A configuration as it is written."""

    version: int
    layers: tuple[LayerChoice, ...]
