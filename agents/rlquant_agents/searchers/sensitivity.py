"""One-layer sensitivities: the loss when one layer alone takes an option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rlquant import FeasibleSet, LayerChoice, SearchSpace
from rlquant.layer_names import alike
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import uniform_row
from rlquant_agents.surrogate.weight_error import Effects, weight_error

PASS_SHARE = 1 / 3
"""The full pass over layers and options may take so much of the evaluations."""
LEAST_GROUPS = 4
"""Fewer groups of layers say nothing that weight errors do not."""


def measure_effects(session: Session) -> Effects:
    """Measure the effect of every option at every layer, the others at their widest.

    An effect is a difference of `Session.log_loss`: of log losses, where they are what is rewarded.
    Where that would take more than a third of the evaluations, only the bits are measured by
    layer, at the default of the other decisions, and every other option once, with all layers
    taking it; the effects are added. Where even that is too much, fewer widths are measured and
    the others follow the layer's weight error; of many layers groups of alike ones are measured
    (`measured_groups`). The session's notes say what was extrapolated.

    Returns:
        Shape `(layers, options)`; 0 for the reference option, the widest one.
    """
    layers, options = session.feasible.decisions, session.feasible.options
    reference = reference_option(options, session.space)
    if len(layers) * (len(options) - 1) <= PASS_SHARE * session.evaluations:
        effects = np.zeros((len(layers), len(options)))
        base, *asked = one_layer_each(session.feasible, reference)
        session.ask_many([session.feasible.config(indices) for indices in [base, *asked]])
        for layer, option in np.ndindex(effects.shape):
            if option != base[layer] and session.feasible.own[layer, option]:
                effects[layer, option] = effect_of(session, base, {layer: option})
        return effects
    return _Extrapolation(session, reference).effects()


def measured_groups(session: Session) -> list[int]:
    """Return for each layer the number of the group that it is measured in.

    Every layer is a group of its own where the evaluations reach, else alike ones are together.
    """
    layers, affordable = len(session.feasible), _affordable(session)
    if layers <= affordable or affordable < LEAST_GROUPS:
        return list(range(layers))
    names = [facts.name for facts in session.feasible.decisions]
    return alike(names, max(LEAST_GROUPS, affordable // 2))


def _affordable(session: Session) -> int:
    return 2 * session.evaluations // 3 - 1


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
    base = uniform_row(feasible, reference).tolist()
    changed_rows = [
        changed(base, {layer: option})
        for layer in range(len(feasible))
        for option in changes
        if option != base[layer] and feasible.own[layer, option]
    ]
    return [base, *changed_rows]


def changed(base: Sequence[int], changes: Mapping[int, int]) -> list[int]:
    """Return a vector of option indices with other options at some layers."""
    return [changes.get(layer, option) for layer, option in enumerate(base)]


def effect_of(session: Session, base: Sequence[int], changes: Mapping[int, int]) -> float:
    """Return the log loss with some layers at other options over that of `base`."""
    known = session.recall(base) or session.ask_indices(base)
    asked = session.ask_indices(changed(base, changes))
    return session.log_loss(asked) - session.log_loss(known)


class _Extrapolation:
    """The cheaper pass: bits by layer, every other option once for all layers together."""

    def __init__(self, session: Session, reference: int) -> None:
        self.session = session
        self.options = session.feasible.options
        self.reference = self.options[reference]
        self.base: list[int] = uniform_row(session.feasible, reference).tolist()
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
        layers = range(len(self.session.feasible))
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
        """Measure each layer's widths as far as the evaluations reach; the others follow."""
        session = self.session
        groups = measured_groups(session)
        grouped = max(groups) + 1 < len(groups)
        if grouped:
            found = self._by_group(groups)
        else:
            measured = self.widths[: max(0, _affordable(session) // len(session.feasible))]
            if len(measured) < len(self.widths):
                session.say(
                    f"sensitivities measured at {measured or 'no'} bits only; other widths follow "
                    f"the weight error"
                )
            found = self._by_layer(measured)
        for facts, row in zip(session.feasible.decisions, found, strict=True):
            anchor = max(row, default=None)
            scale = 1.0 if anchor is None else row[anchor] / weight_error(facts, anchor)
            for bits in self.widths:
                row.setdefault(bits, scale * weight_error(facts, bits))
        return found

    def _by_layer(self, measured: Sequence[int]) -> list[dict[int, float]]:
        """Measure these widths at each layer alone, narrowest first."""
        session = self.session
        layers = range(len(session.feasible))
        options = {bits: uniform_row(session.feasible, self._plain(bits)) for bits in measured}
        if measured:
            rows = [
                changed(self.base, {layer: int(options[bits][layer])})
                for layer in layers
                for bits in measured
            ]
            session.ask_many([session.feasible.config(row) for row in [self.base, *rows]])
        return [
            {
                bits: effect_of(session, self.base, {layer: int(options[bits][layer])})
                for bits in measured
            }
            for layer in layers
        ]

    def _by_group(self, groups: Sequence[int]) -> list[dict[int, float]]:
        """Measure groups of layers at one width; their layers share by their weight errors."""
        session, bits = self.session, self._width_of_budget()
        row = uniform_row(session.feasible, self._plain(bits)).tolist()
        members = [[i for i, g in enumerate(groups) if g == n] for n in range(max(groups) + 1)]
        session.say(
            f"sensitivities measured at {bits} bits of {len(members)} groups of alike layers; "
            f"layers of a group and other widths follow the weight error"
        )
        rows = [changed(self.base, {i: row[i] for i in layers}) for layers in members]
        session.ask_many([session.feasible.config(row) for row in [self.base, *rows]])
        found: list[dict[int, float]] = [{} for _ in groups]
        for layers in members:
            effect = effect_of(session, self.base, {i: row[i] for i in layers})
            errors = {i: weight_error(session.feasible.decisions[i], bits) for i in layers}
            for i, error in errors.items():
                found[i][bits] = effect * error / sum(errors.values())
        return found

    def _width_of_budget(self) -> int:
        """Return the widest measured width that all layers can have within the budget."""
        feasible = self.session.feasible
        fitting = [b for b in self.widths if feasible.fits(uniform_row(feasible, self._plain(b)))]
        return max(fitting, default=min(self.widths, default=self.reference.bits))

    def _plain(self, bits: int) -> int:
        """Return the option of so many bits that is otherwise the reference."""
        return self.index[replace(self.reference, bits=bits)]

    def _others(self, middle: int) -> dict[tuple[str, object], float]:
        """Measure every option of the other decisions once: all layers take it at `middle` bits."""
        plain = replace(self.reference, bits=middle)
        changes = dict.fromkeys(c for o in self.options for c in self._changes(o))
        found: dict[tuple[str, object], float] = {}
        for change in changes:
            candidates = [o for o in self.options if self._changes(o) == (change,)]
            if not candidates or self.session.remaining < 3:  # one is for what is made of it
                continue
            option = min(candidates, key=lambda o: abs(o.bits - middle))
            asked = self._ask_uniform(option)
            found[change] = self.session.log_loss(asked) - self.session.log_loss(
                self._ask_uniform(plain)
            )
        if found:
            names = ", ".join(f"{head}={value}" for head, value in found)
            self.session.say(
                f"measured once for all layers at {middle} bits, effects added: {names}"
            )
        return found

    def _ask_uniform(self, option: LayerChoice) -> Evaluation:
        row = uniform_row(self.session.feasible, self.index[option])
        return self.session.ask_indices(row.tolist())

    def _changes(self, option: LayerChoice) -> tuple[tuple[str, object], ...]:
        """Return in which decisions other than bits an option differs from the reference."""
        pairs = ((head, getattr(option, head)) for head in option.decided)
        return tuple(p for p in pairs if p[1] != getattr(self.reference, p[0]))
