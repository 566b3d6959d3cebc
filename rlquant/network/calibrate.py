"""Calibration: one pass over the calibration samples takes back what quantization shifted.

In execution order, each BatchNorm's statistics move by what quantization changed in its inputs so
far, and only then does it feed what follows; a layer with no BatchNorm behind it gets its bias
corrected. Both are differences to the float network on the same samples, so a network that is not
quantized stays exactly what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.ambient import seeded
from rlquant.copying.network_copy import shared_copy
from rlquant.errors import DataError
from rlquant.evaluation_settings import Calibrate
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts
from rlquant.network.bias_correction import OutputMeans, shifted
from rlquant.network.norm_statistics import NormStatistics
from rlquant.network.partial_pass import ended_after
from rlquant.network_inputs import first_input
from rlquant.samples import Samples, why_not_finite


@dataclass(frozen=True, slots=True, eq=False)
class FloatReference:
    """What calibration needs of the float network, measured once.

    Attributes:
        output_means: by layer; only for those whose bias can be corrected: with a bias, run once,
            on several samples, no BatchNorm behind.
        batch_norms: by module; only for those with running statistics that one forward pass runs
            once.
    """

    output_means: Mapping[str, OutputMeans]
    batch_norms: Mapping[str, NormStatistics]

    @classmethod
    @seeded(0)
    def measure(
        cls,
        network: nn.Module,
        layers: Sequence[LayerFacts],
        samples: Samples,
        calibrate: Calibrate = "auto",
    ) -> FloatReference:
        """Run the float network once over the calibration samples.

        Raises:
            DataError: what calibration takes its statistics of is not finite.
        """
        means: dict[str, OutputMeans] = {}
        norms: dict[str, list[NormStatistics]] = {}
        corrected = [f.name for f in layers if f.has_bias and f.calls == 1 and not f.normalized]
        moved = [name for name, module in network.named_modules() if _has_statistics(module)]
        if calibrate not in ("auto", "biases"):
            corrected = []
        if calibrate not in ("auto", "statistics"):
            moved = []
        if not corrected and not moved:
            return cls({}, {})
        clone = shared_copy(network)
        for name in corrected:
            hook = _mean_recorder(means, name, samples.mask)
            clone.get_submodule(name).register_forward_hook(hook)
        for name in moved:
            hook = _norm_recorder(norms, name)
            clone.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True)
        # A module with statistics may run twice, or never: the pass goes on then.
        wanted = [] if moved else [clone.get_submodule(name) for name in corrected]
        with torch.no_grad(), ended_after(wanted):
            run(clone, samples.inputs)
        _require_finite(means, norms, samples)
        return cls(means, {name: calls[0] for name, calls in norms.items() if len(calls) == 1})

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to calibrate, so that the pass can be left out."""
        return not self.output_means and not self.batch_norms

    @property
    def for_training(self) -> FloatReference:
        """What is calibrated behind a training run, which trains the biases.

        Nothing else would give statistics to BatchNorms of a network that is trained from scratch.
        """
        norms = {name: statistics.learned for name, statistics in self.batch_norms.items()}
        return FloatReference({}, norms)

    def within(self, modules: Collection[str]) -> FloatReference:
        """Return what belongs to the modules of these paths."""
        means = {name: found for name, found in self.output_means.items() if name in modules}
        norms = {name: found for name, found in self.batch_norms.items() if name in modules}
        return FloatReference(means, norms)


def _has_statistics(module: nn.Module) -> bool:
    batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
    return batch_norm and getattr(module, "running_mean", None) is not None


def _mean_recorder(means: dict[str, OutputMeans], name: str, mask: Tensor | None) -> Any:
    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        found = OutputMeans.of(module, output, mask)
        if found is not None:
            means[name] = found

    return hook


def _norm_recorder(norms: dict[str, list[NormStatistics]], name: str) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        found = NormStatistics.of(module, first_input(args, keywords))
        norms.setdefault(name, []).append(found)

    return hook


def _require_finite(
    means: Mapping[str, OutputMeans], norms: Mapping[str, list[NormStatistics]], samples: Samples
) -> None:
    """Raise `DataError` where something is not finite on these samples."""
    found = {f"inputs of {name!r}": call.mean for name, calls in norms.items() for call in calls}
    found |= {f"outputs of {name!r}": mean.halves for name, mean in means.items()}
    for what, values in found.items():
        if not torch.isfinite(values).all():
            raise DataError(
                f"calibration: {what} are not finite in the float network; "
                f"{why_not_finite(samples)}"
            )


@seeded(0)
def calibrate(network: nn.Module, reference: FloatReference, samples: Samples) -> None:
    """Calibrate a quantized copy in place, in one forward pass over all samples."""
    if reference.is_empty:
        return
    calibrator = Calibrator(network, reference)
    with torch.no_grad(), calibrator.watching(), ended_after(calibrator.modules):
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
        norms, means = own.batch_norms.items(), own.output_means.items()
        self._norms = [(network.get_submodule(name), found) for name, found in norms]
        self._corrected = [(network.get_submodule(name), found) for name, found in means]
        self._originals = [(tensor, tensor.clone()) for tensor in calibrated_tensors(network, own)]

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that are calibrated."""
        return tuple(module for module, _ in (*self._norms, *self._corrected))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the context, a forward pass calibrates the modules as it goes."""
        handles: list[Any] = []
        try:
            for module, statistics in self._norms:
                mover = _statistics_mover(statistics)
                handles.append(module.register_forward_pre_hook(mover, with_kwargs=True))
            for module, means in self._corrected:
                handles.append(module.register_forward_hook(_bias_corrector(means)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def restore(self) -> None:
        """Give the modules back what they held before any calibration."""
        for tensor, original in self._originals:
            tensor.copy_(original)


def _statistics_mover(statistics: NormStatistics) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        assert module.running_mean is not None
        assert module.running_var is not None
        mean, variance = statistics.moved(first_input(args, keywords), module.eps)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)

    return hook


def _bias_corrector(means: OutputMeans) -> Any:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        shift = means.shift(module, output)
        assert isinstance(module.bias, Tensor)
        module.bias.add_(shift)
        return shifted(module, output, shift)

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
