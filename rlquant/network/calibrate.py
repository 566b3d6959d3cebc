"""Calibration: one pass over the calibration samples corrects what quantization shifted.

In execution order, each BatchNorm takes mean and variance of its input in the network quantized so
far, is fixed, and only then feeds what follows; a layer with no BatchNorm behind it gets its bias
corrected, so that the mean of its outputs is the float network's. Sources: re-estimated statistics
as in Sun et al. 2019 and others; bias correction as in Nagel et al. 2019.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.copying.network_copy import copy_network
from rlquant.errors import DataError
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts, first_input
from rlquant.plain_network import weight_of
from rlquant.samples import Samples, why_not_finite


@dataclass(frozen=True, slots=True, eq=False)
class FloatReference:
    """What calibration needs of the float network, measured once.

    Attributes:
        output_means: by layer, the mean of each output channel, shape `(channels,)`; only for
            layers whose bias can be corrected: with a bias, run once, no BatchNorm behind.
        batch_norms: names of the BatchNorms whose statistics can be re-estimated: those with
            running statistics that one forward pass runs once.
    """

    output_means: Mapping[str, Tensor]
    batch_norms: tuple[str, ...]

    @classmethod
    @seeded(0)
    def measure(
        cls,
        network: nn.Module,
        layers: Sequence[LayerFacts],
        samples: Samples,
    ) -> FloatReference:
        """Run the float network once over the calibration samples.

        Raises:
            DataError: what calibration takes its statistics of is not finite.
        """
        means: dict[str, Tensor] = {}
        calls: dict[str, int] = {}
        finite: dict[str, Tensor] = {}
        clone = copy_network(network)
        for facts in layers:
            module = clone.get_submodule(facts.name)
            if facts.has_bias and facts.calls == 1 and not facts.normalized:
                module.register_forward_hook(_mean_recorder(means, facts.name))
        for name, module in clone.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                hook = _norm_watcher(calls, finite, name)
                module.register_forward_pre_hook(hook, with_kwargs=True)
        with torch.no_grad():
            run(clone, samples.inputs)
        finite |= {name: torch.isfinite(mean).all() for name, mean in means.items()}
        for name in (name for name, every in finite.items() if not every):
            kind = "outputs" if name in means else "inputs"
            raise DataError(
                f"calibration: {kind} of {name!r} are not finite in the float network; "
                f"{why_not_finite(samples)}"
            )
        once = tuple(
            name
            for name, count in calls.items()
            if count == 1 and getattr(clone.get_submodule(name), "running_mean", None) is not None
        )
        return cls(means, once)

    def within(self, modules: Collection[str]) -> FloatReference:
        """Return what belongs to the modules of these paths."""
        means = {name: mean for name, mean in self.output_means.items() if name in modules}
        return FloatReference(means, tuple(n for n in self.batch_norms if n in modules))


def _mean_recorder(means: dict[str, Tensor], name: str) -> Any:
    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        means[name] = channel_means(module, output)

    return hook


def _norm_watcher(calls: dict[str, int], finite: dict[str, Tensor], name: str) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        finite[name] = torch.isfinite(first_input(args, keywords)).all()

    return hook


def output_channel_axis(module: nn.Module, output: Tensor) -> int:
    """Return the axis of a layer's output that counts channels (last, or before the positions)."""
    if isinstance(module, nn.Linear):
        return output.dim() - 1
    weight = weight_of(module)
    return output.dim() - weight.dim() + 1


def channel_means(module: nn.Module, output: Tensor) -> Tensor:
    """Return the mean of each output channel over samples and positions, shape `(channels,)`."""
    axis = output_channel_axis(module, output)
    others = [d for d in range(output.dim()) if d != axis]
    return output.mean(dim=others) if others else output


@seeded(0)
def calibrate(network: nn.Module, reference: FloatReference, samples: Samples) -> None:
    """Calibrate a quantized copy in place, in one forward pass over all samples."""
    with Calibrator(network, reference).watching(), torch.no_grad():
        run(network, samples.inputs)


class Calibrator:
    """Calibrates modules of a network as forward passes run them, and takes it back.

    Args:
        network: holds the modules; what they hold now is what `restore` gives back.
        reference: of the float network.
        modules: paths of the modules to calibrate; all that can be by default.
    """

    def __init__(
        self,
        network: nn.Module,
        reference: FloatReference,
        modules: Collection[str] | None = None,
    ) -> None:
        own = reference if modules is None else reference.within(modules)
        self._norms = [network.get_submodule(name) for name in own.batch_norms]
        means = own.output_means.items()
        self._corrected = [(network.get_submodule(name), mean) for name, mean in means]
        self._originals = [(tensor, tensor.clone()) for tensor in calibrated_tensors(network, own)]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the context, a forward pass calibrates the modules as it goes."""
        handles: list[Any] = []
        try:
            for module in self._norms:
                handles.append(module.register_forward_pre_hook(_take_statistics, with_kwargs=True))
            for module, mean in self._corrected:
                handles.append(module.register_forward_hook(_bias_corrector(mean)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def restore(self) -> None:
        """Give the modules back what they held before any calibration."""
        for tensor, original in self._originals:
            tensor.copy_(original)


def _take_statistics(module: nn.Module, args: Any, keywords: Any) -> None:
    mean, variance = channel_statistics(first_input(args, keywords))
    assert isinstance(module.running_mean, Tensor)
    assert isinstance(module.running_var, Tensor)
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance)


def channel_statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel (axis 1) over samples and positions.

    Two passes, each summing positions first: as exact as `torch.var_mean` over the same axes and
    an order of magnitude faster on a CPU. At least float32, as float16 would overflow.
    """
    rows = inputs.reshape(*inputs.shape[:2], -1)
    count = rows.shape[0] * rows.shape[2]
    wide = torch.promote_types(rows.dtype, torch.float32)
    mean = rows.sum(dim=2, dtype=wide).sum(dim=0) / count
    spread = torch.linalg.vector_norm(rows - mean[:, None], dim=2)
    return mean, spread.square().sum(dim=0) / count


def _bias_corrector(float_mean: Tensor) -> Any:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        shift = float_mean - channel_means(module, output)
        assert isinstance(module.bias, Tensor)
        module.bias.add_(shift)
        positions = output.dim() - 1 - output_channel_axis(module, output)
        return output + shift.reshape(-1, *[1] * positions)

    return hook


def calibrated_tensors(network: nn.Module, reference: FloatReference) -> Iterable[Tensor]:
    """Yield the tensors that calibration writes: statistics and corrected biases."""
    for name in reference.batch_norms:
        module = network.get_submodule(name)
        for tensor in (module.running_mean, module.running_var):
            assert isinstance(tensor, Tensor)
            yield tensor
    for name in reference.output_means:
        bias = network.get_submodule(name).bias
        assert isinstance(bias, Tensor)
        yield bias
