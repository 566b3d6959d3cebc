"""The scales at which Polino's experiments are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.polino.depth import Depth
from rlquant_experiments.reproduction.polino.networks import Network, strided_cnn, task_network
from rlquant_experiments.reproduction.polino.noise import Noise
from rlquant_experiments.reproduction.reproduction import Preset


@dataclass(frozen=True, kw_only=True)
class PolinoPreset:
    """The experiments.

    Attributes:
        data: name of the data set.
        images: training images, the first ones.
        seeds: runs of each variant where the person asks for no number.
        teacher: large float network.
        student: what most claims are about.
        small: the smallest student, for P3.
        deeper: a student of more layers than the teacher, for P6.
        training: of teachers, float students and quantized distillation.
        points_training: of differentiable quantization.
        ablation_steps: of each of its combinations.
        rates: learning rates that were tried on validation data.
        temperatures: that were tried on validation data.
        point_rates: that were tried on validation data.
        noise: for P7.
        depth: for P10.
    """

    data: str
    images: int
    seeds: int
    teacher: Network
    student: Network
    small: Network
    deeper: Network
    training: TrainSettings
    points_training: TrainSettings
    ablation_steps: int
    rates: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    point_rates: tuple[float, ...] = ()
    noise: Noise
    depth: Depth

    @property
    def labels_training(self) -> TrainSettings:
        """The training without a teacher."""
        return replace(self.training, distillation_weight=0.0)


def _sgd(epochs: int, rate: float, batch_size: int, weight_decay: float) -> TrainSettings:
    return TrainSettings(
        epochs=epochs,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=rate,
        bias_rate=rate,
        weight_decay=weight_decay,
        train_kept=True,
    )


def _points(epochs: int, rate: float, batch_size: int) -> TrainSettings:
    """Return the training of points alone."""
    return TrainSettings(
        epochs=epochs, batch_size=batch_size, optimizer="sgd", point_rate=rate, bias_rate=0.0
    )


QUICK = PolinoPreset(
    data="fashion-mnist",
    images=10_000,
    seeds=6,
    teacher=strided_cnn((32, 48, 64, 96), (2, 2, 1, 2), 128, dropout=0.3),
    student=strided_cnn((16, 24, 24, 24), (2, 2, 1, 2), 32),
    small=strided_cnn((6, 8, 8, 8), (2, 2, 1, 2), 16),
    deeper=strided_cnn((32, 48, 48, 64, 64, 96), (2, 2, 1, 1, 1, 2), 128),
    training=_sgd(epochs=8, rate=0.06, batch_size=100, weight_decay=5e-4),
    points_training=_points(epochs=8, rate=3e-5, batch_size=100),
    ablation_steps=150,
    rates=(0.03, 0.12),
    temperatures=(1.0, 4.0),
    point_rates=(1e-5, 1e-4, 3e-4),
    noise=Noise(seeds=8),
    depth=Depth(),
)

PAPER = PolinoPreset(
    data="cifar10",
    images=45_000,
    seeds=3,
    teacher=task_network("polino-teacher"),
    student=task_network("polino-student1"),
    small=task_network("polino-student3"),
    deeper=strided_cnn((76,) * 2 + (126,) * 2 + (148,) * 6, (1, 2, 1, 2, 1, 1, 1, 1, 1, 2), 1200),
    training=_sgd(epochs=200, rate=1e-3, batch_size=25, weight_decay=2.2e-4),
    points_training=_points(epochs=20, rate=1e-6, batch_size=25),
    ablation_steps=50 * 1800,
    noise=Noise(),
    depth=Depth(channels=76, pixels=32),
)

TINY = PolinoPreset(
    data="digits",
    images=200,
    seeds=2,
    teacher=strided_cnn((8, 8), (1, 2), 16, dropout=0.1),
    student=strided_cnn((4, 8), (2, 1), 16),
    small=strided_cnn((2,), (2,), 8),
    deeper=strided_cnn((4, 8, 8), (2, 1, 1), 16),
    training=_sgd(epochs=2, rate=0.1, batch_size=50, weight_decay=0.0),
    points_training=_points(epochs=1, rate=1e-4, batch_size=50),
    ablation_steps=2,
    rates=(0.05,),
    temperatures=(4.0,),
    point_rates=(1e-3,),
    noise=Noise(lengths=(16, 512), draws=2000, seeds=2),
    depth=Depth(layers=(4, 2, 1), channels=4, pixels=8, batch_size=4, rounds=3, seeds=2),
)

PRESETS: Mapping[Preset, PolinoPreset] = {"quick": QUICK, "paper": PAPER, "tiny": TINY}
