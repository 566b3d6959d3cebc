"""Where the weights of quantizable layers are, and which modules compute with them.

Most layers are modules with a `weight` of their own. An attention or a recurrent module has several
weights that it computes with itself: each of them is a layer too, named by module and parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

KINDS: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose1d: "conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "conv_transpose3d",
    nn.Embedding: "embedding",
}
"""Layers that carry a `weight` to quantize; subclasses count as their parent."""
TRANSPOSED = "linear_transposed"
"""The kind of Hugging Face's `Conv1D`, as in GPT-2: a linear layer whose weight is (in, out)."""
ATTENTION = "attention_projection"
"""The kind of the projections that `nn.MultiheadAttention` computes with itself."""
RECURRENT = "recurrent"
"""The kind of the weights of `nn.LSTM`, `nn.GRU` and `nn.RNN`."""
PARTS = (ATTENTION, RECURRENT)
"""Kinds of layers that are a part of their module: it is not called for each of them, so that they
have no inputs and no outputs of their own."""
LAYER_KINDS = (*KINDS.values(), TRANSPOSED, *PARTS)

OUT_PROJECTION = "out_proj"
"""The module in an attention whose weight the attention takes, without calling it."""


@dataclass(frozen=True, slots=True)
class WeightSite:
    """Where the weight of a layer is.

    Attributes:
        layer: name of the layer: the path of its module, where the weight is the module's `weight`,
            else the path of the parameter.
        kind: one of `LAYER_KINDS`.
        owner: path of the module that holds the weight.
        parameter: the weight's name there.
        runner: path of the module that computes with it; only of an output projection of an
            attention not the owner.
    """

    layer: str
    kind: str
    owner: str
    parameter: str
    runner: str

    @property
    def tensor(self) -> str:
        """The weight's name in the state dict of a float network."""
        return _joined(self.owner, self.parameter)

    @property
    def is_part(self) -> bool:
        """Whether the layer has no inputs of its own; see `PARTS`."""
        return self.kind in PARTS

    def owner_in(self, network: nn.Module) -> nn.Module:
        """Return the module that holds the weight."""
        return network.get_submodule(self.owner)

    def runner_in(self, network: nn.Module) -> nn.Module:
        """Return the module that computes with the weight."""
        return network.get_submodule(self.runner)

    def weight_in(self, network: nn.Module) -> Tensor:
        """Return the weight: a parameter, or what a parametrization makes of it."""
        weight = getattr(self.owner_in(network), self.parameter)
        assert isinstance(weight, Tensor)
        return weight


def weight_sites(network: nn.Module, *, all_names: bool = False) -> dict[str, WeightSite]:
    """Return the sites of all quantizable layers by layer, in the order of the modules.

    Args:
        network: float or quantized.
        all_names: give a module that has several names all of them, not the first alone.
    """
    modules = dict(network.named_modules(remove_duplicate=not all_names))
    found: dict[str, WeightSite] = {}
    for path, module in modules.items():
        for site in sites_of(path, module, modules.get(path.rpartition(".")[0])):
            found[site.layer] = site
    return found


def site_of(network: nn.Module, layer: str) -> WeightSite:
    """Return the site of a layer that the network has; `KeyError` for another name."""
    path = layer
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        path = layer.rpartition(".")[0]
        try:
            module = network.get_submodule(path)
        except AttributeError:
            raise KeyError(layer) from None
    parent = network.get_submodule(path.rpartition(".")[0]) if path else None
    found = {site.layer: site for site in sites_of(path, module, parent)}
    return found[layer]


def layer_kind(module: nn.Module) -> str | None:
    """Return the kind of a layer that is a module with a `weight`, or None for any other module."""
    if is_transposed_linear(module):
        return TRANSPOSED
    return next((kind for cls, kind in KINDS.items() if isinstance(module, cls)), None)


def is_transposed_linear(module: nn.Module) -> bool:
    """Return whether it is transformers' own class, which need not be installed."""
    classes = type(module).__mro__  # a parametrized module has a class of its own
    return any(c.__name__ == "Conv1D" and c.__module__.startswith("transformers.") for c in classes)


def channel_axis_of(kind: str) -> int:
    """Return the axis of a weight that counts output channels, by the kind of its layer."""
    return 1 if kind == TRANSPOSED or kind.startswith("conv_transpose") else 0


def sites_of(path: str, module: nn.Module, parent: nn.Module | None) -> Iterator[WeightSite]:
    """Yield the sites of the layers that a module is or has, given the module that contains it."""
    kind = layer_kind(module)
    if kind is not None:
        above, _, own = path.rpartition(".")
        if own == OUT_PROJECTION and isinstance(parent, nn.MultiheadAttention):
            yield WeightSite(path, ATTENTION, path, "weight", above)
        else:
            yield WeightSite(path, kind, path, "weight", path)
    for parameter in _parts_of(module):
        if isinstance(getattr(module, parameter, None), Tensor):
            part = ATTENTION if isinstance(module, nn.MultiheadAttention) else RECURRENT
            yield WeightSite(_joined(path, parameter), part, path, parameter, path)


def _parts_of(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that a module computes with itself."""
    if isinstance(module, nn.MultiheadAttention):
        together = module._qkv_same_embed_dim
        split = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        return ("in_proj_weight",) if together else split
    if isinstance(module, nn.RNNBase):
        return tuple(name for name in module._flat_weights_names if name.startswith("weight_"))
    return ()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
