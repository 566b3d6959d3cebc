"""One-layer sensitivities: the loss when one layer alone takes an option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rlquant import FeasibleSet, LayerChoice, SearchSpace
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.weight_error import Effects, weight_error

PASS_SHARE = 1 / 3
"""The full pass over layers and options may take so much of the evaluations."""


def measure_effects(session: Session) -> Effects:
    """Measure the effect of every option at every layer, the others at their widest.

    An effect is a difference of `Session.log_loss`: of log losses, where they are what is rewarded.
    Where that would take more than a third of the evaluations, only the bits are measured by
    layer, at the default of the other decisions, and every other option once, with all layers
    taking it; the effects are added. Where even that is too much, fewer widths are measured and
    the others follow the layer's weight error. The session's notes say what was extrapolated.

    Returns:
        Shape `(layers, options)`; 0 for the reference option, the widest one.
    """
    layers, options = session.layers, session.feasible.options
    reference = reference_option(options, session.space)
    if len(layers) * (len(options) - 1) <= PASS_SHARE * session.evaluations:
        effects = np.zeros((len(layers), len(options)))
        asked = one_layer_each(session.feasible, reference)
        session.ask_many([session.feasible.config(indices) for indices in asked])
        for layer, option in np.ndindex(effects.shape):
            if option != reference and session.feasible.own[layer, option]:
                effects[layer, option] = _one_layer(session, reference, layer, option)
        return effects
    return _Extrapolation(session, reference).effects()


def reference_option(options: Sequence[LayerChoice], space: SearchSpace) -> int:
    """Return the widest quantized option, of equally wide ones the nearest to the defaults."""
    defaults = (space.rounding[0], space.method[0], space.points[0], space.group_size[0])

    def rank(index: int) -> tuple[bool, int, int, int, int]:
        option = options[index]
        chosen = (option.rounding, option.method, option.points, option.group_size)
        agree = sum(a == b for a, b in zip(chosen, defaults, strict=True))
        quantized = option.method != "float"
        return quantized, option.arithmetic_bits, option.activation_bits or 32, agree, -index

    return max(range(len(options)), key=rank)


def one_layer_each(
    feasible: FeasibleSet, reference: int, options: Sequence[int] | None = None
) -> list[list[int]]:
    """Return the reference, and all that differ from it in one layer alone.

    Args:
        feasible: has the layers and options.
        reference: option of the layers that do not change.
        options: options of the one that does; all by default.

    Returns:
        Vectors of option indices, the reference first.
    """
    changes = range(len(feasible.options)) if options is None else options
    base = [reference] * len(feasible)
    changed = [
        _changed(base, layer, option)
        for layer in range(len(feasible))
        for option in changes
        if option != reference and feasible.own[layer, option]
    ]
    return [base, *changed]


def _changed(base: Sequence[int], layer: int, option: int) -> list[int]:
    return [*base[:layer], option, *base[layer + 1 :]]


def _one_layer(session: Session, reference: int, layer: int, option: int) -> float:
    """Return the log loss with one layer at `option` over that with none."""
    base = [reference] * len(session.layers)
    known = session.recall(base) or session.ask_indices(base)
    changed = session.ask_indices(_changed(base, layer, option))
    return session.log_loss(changed) - session.log_loss(known)


class _Extrapolation:
    """The cheaper pass: bits by layer, every other option once for all layers together."""

    def __init__(self, session: Session, reference: int) -> None:
        self.session = session
        self.options = session.feasible.options
        self.reference = self.options[reference]
        self.index = {option: i for i, option in enumerate(self.options)}
        widths = {o.bits for o in self.options if o.method != "float"} - {self.reference.bits}
        self.widths = sorted(
            bits for bits in widths if replace(self.reference, bits=bits) in self.index
        )

    def effects(self) -> Effects:
        """Return the effects, measured and extrapolated."""
        by_width = self._by_width()
        middle = self.widths[len(self.widths) // 2] if self.widths else self.reference.bits
        others = self._others(middle)
        layers = range(len(self.session.layers))
        share = np.maximum([by_width[i].get(middle, 0.0) for i in layers], 1e-6)
        share /= share.sum()
        effects = np.zeros((len(layers), len(self.options)))
        for layer in layers:
            for column, option in enumerate(self.options):
                bits = middle if option.method in ("ternary", "float") else option.bits
                total = sum(others.get(change, 0.0) for change in self._changes(option))
                effects[layer, column] = by_width[layer].get(bits, 0.0) + share[layer] * total
        return effects

    def _by_width(self) -> list[dict[int, float]]:
        """Measure each layer's widths, narrowest first, as far as the evaluations reach."""
        session = self.session
        affordable = (2 * session.evaluations // 3 - 1) // len(session.layers)
        measured = self.widths[: max(0, affordable)]
        if len(measured) < len(self.widths):
            session.say(
                f"sensitivities measured at {measured or 'no'} bits only; other widths follow the "
                f"weight error"
            )
        reference = self.index[self.reference]
        options = [self.index[replace(self.reference, bits=bits)] for bits in measured]
        if options:
            asked = one_layer_each(session.feasible, reference, options)
            session.ask_many([session.feasible.config(indices) for indices in asked])
        rows = []
        for i, facts in enumerate(session.layers):
            found = {
                bits: _one_layer(
                    session, reference, i, self.index[replace(self.reference, bits=bits)]
                )
                for bits in measured
            }
            anchor = max(found, default=None)
            scale = 1.0 if anchor is None else found[anchor] / weight_error(facts, anchor)
            for bits in self.widths[len(measured) :]:
                found[bits] = scale * weight_error(facts, bits)
            rows.append(found)
        return rows

    def _others(self, middle: int) -> dict[tuple[str, object], float]:
        """Measure every option of the other decisions once: all layers take it at `middle` bits."""
        plain = replace(self.reference, bits=middle)
        changes = dict.fromkeys(c for o in self.options for c in self._changes(o))
        found: dict[tuple[str, object], float] = {}
        count = len(self.session.layers)
        for change in changes:
            candidates = [o for o in self.options if self._changes(o) == (change,)]
            if not candidates or self.session.remaining < 3:  # one is for what is made of it
                continue
            option = min(candidates, key=lambda o: abs(o.bits - middle))
            changed = self.session.ask_indices([self.index[option]] * count)
            known = self.session.ask_indices([self.index[plain]] * count)
            found[change] = self.session.log_loss(changed) - self.session.log_loss(known)
        if found:
            names = ", ".join(f"{head}={value}" for head, value in found)
            self.session.say(
                f"measured once for all layers at {middle} bits, effects added: {names}"
            )
        return found

    def _changes(self, option: LayerChoice) -> tuple[tuple[str, object], ...]:
        """Return in which decisions other than bits an option differs from the reference."""
        pairs = ((head, getattr(option, head)) for head in option.decided)
        return tuple(p for p in pairs if p[1] != getattr(self.reference, p[0]))
