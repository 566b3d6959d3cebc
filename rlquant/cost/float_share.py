"""The float share: bytes of a network that no configuration quantizes, with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from rlquant.cost.file_layout import NOT_NEEDED
from rlquant.weight_sites import WeightSite, site_of, sites_of, weight_sites

NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
"""Modules whose parameters are small and stay float on purpose."""
SHOWN = 4
"""Reasons that are told one by one."""


@dataclass(frozen=True, slots=True)
class FloatShare:
    """The bytes of a network that stay float whatever is chosen.

    Attributes:
        total: bytes of all stored tensors.
        chosen: those of layers that somebody wants float.
        reasons: why bytes stay float and how many, most bytes first.
    """

    total: int
    chosen: int
    reasons: tuple[tuple[str, int], ...]

    @classmethod
    def of(
        cls, network: nn.Module, searched: Iterable[str], named: Collection[str], why: str
    ) -> FloatShare:
        """Read the share off a float network.

        Args:
            network: float network.
            searched: names of the layers that are quantized.
            named: names of the layers that somebody wants float.
            why: what is said of those.
        """
        quantized = {site_of(network, name).tensor for name in searched}
        sites = {site.tensor: site for site in weight_sites(network).values()}
        reasons: Counter[str] = Counter()
        total = chosen = 0
        for name, tensor in _tensors(network):
            total += tensor.nbytes
            if name not in quantized:
                site = sites.get(name)
                reasons[_reason(network, name, site, named, why)] += tensor.nbytes
                chosen += tensor.nbytes if site is not None and site.layer in named else 0
        return cls(total, chosen, tuple(reasons.most_common()))

    @property
    def float_bytes(self) -> int:
        """The bytes that stay float."""
        return sum(count for _, count in self.reasons)

    @property
    def share(self) -> float:
        """The share of the bytes that stay float, 0 to 1."""
        return self.float_bytes / max(1, self.total)

    def __str__(self) -> str:
        parts = [f"{count:,} of {reason}" for reason, count in self.reasons[:SHOWN]]
        rest = sum(count for _, count in self.reasons[SHOWN:])
        parts += [f"{rest:,} of other modules"] if rest else []
        return (
            f"{self.float_bytes:,} of {self.total:,} bytes ({self.share:.0%}) stay float whatever "
            f"is chosen: {'; '.join(parts) or 'none'}"
        )


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that are stored, each under its first name."""
    seen: set[int] = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and id(tensor) not in seen and not name.endswith(NOT_NEEDED):
            seen.add(id(tensor))
            yield name, tensor


def _reason(
    network: nn.Module, tensor: str, site: WeightSite | None, named: Collection[str], why: str
) -> str:
    owner, _, own = tensor.rpartition(".")
    module = network.get_submodule(owner)
    kind = type(module).__name__[:40]
    if isinstance(module, NORMALISATIONS):
        return "normalisations"
    if site is None:
        of_layer = next(sites_of(owner, module, None), None) is not None
        if of_layer and "bias" in own:
            return "biases"
        return f"{kind}, which is no kind of layer that is quantized"
    if site.layer in named:
        return f"layers {why}"
    return f"{kind} whose module is never called (its weight is used by another one)"
