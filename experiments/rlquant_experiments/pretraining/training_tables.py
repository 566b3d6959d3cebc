"""Tables of training networks: trained, every configuration measured, kept in a folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tqdm import tqdm

from rlquant import (
    Budget,
    EvaluationSettings,
    GroupedProblem,
    QuantizationProblem,
    Table,
    find_layers,
)
from rlquant.errors import FileFormatError, SettingsError
from rlquant.folder_lock import held
from rlquant.paths import PathLike
from rlquant.tabular.table_file import read_table, write_table
from rlquant.tasks.float_training import train_float
from rlquant.tasks.registry import load_data
from rlquant.tasks.task import Splits
from rlquant_experiments.pretraining.training_networks import TrainingNetwork
from rlquant_experiments.tables.enumeration import Enumeration

logger = logging.getLogger(__name__)

VALIDATION_SAMPLES = 600
LEAST_ACCURACY = 0.7
"""Of the float network; one that learnt less has not learnt, and teaches nothing."""
NO_LIMIT = Budget.average_bits(64.0)


def training_tables(
    members: Sequence[TrainingNetwork], folder: PathLike, *, progress: bool = False
) -> tuple[Table, ...]:
    """Return the tables of those networks that learnt; what is not in the folder yet is made.

    Args:
        members: the networks.
        folder: keeps the tables; interrupted, a second call goes on where this one was.
        progress: whether to show a bar of the table that is being made.

    Raises:
        SettingsError: none of the networks learnt.
        FileFormatError: a table in the folder is damaged, or of another network of that name.
        StorageError: the folder cannot be written, or another run holds it.
    """
    found = []
    with held(folder, "folder") as kept:
        for number, member in enumerate(members, 1):
            title = f"{member.title} ({number} of {len(members)})"
            table = training_table(member, kept.path, title if progress else None)
            if table.float_score.accuracy >= LEAST_ACCURACY:
                found.append(table)
            else:
                accuracy = table.float_score.accuracy
                logger.info("%s is left out: accuracy %.3f", member.title, accuracy)
    if not found:
        raise SettingsError(f"none of {len(members)} training networks learnt; draw more of them")
    return tuple(found)


def training_table(member: TrainingNetwork, folder: Path, title: str | None = None) -> Table:
    """Return the table of a training network, from the folder where it is there already.

    Args:
        member: the network.
        folder: keeps the table as `<data set>-<name>.rlt`.
        title: of a progress bar; None shows none.
    """
    path = folder / f"{member.title}.rlt"
    splits = _data(member.data)
    network = member.network(splits.input_shape, splits.classes)
    settings = member.training(network)
    task = (
        f"training network {member.title}, trained for {settings.epochs} epochs at "
        f"{settings.learning_rate:g}"
    )
    if path.exists():
        table = read_table(path)
        if table.task != task:
            raise FileFormatError(
                f"{path}: holds {table.task!r}, expected {task!r}; move it away to have it made"
            )
        return table
    train_float(network, splits.train, settings)
    names = [facts.name for facts in find_layers(network, splits.train[0][:1])]
    live = QuantizationProblem(
        network,
        splits.train,
        splits.validation,
        space=member.space(len(member.groups) or len(names)),
        budget=NO_LIMIT,
        evaluation=EvaluationSettings(
            validation_samples=min(VALIDATION_SAMPLES, len(splits.validation[1]))
        ),
    )
    grouped = GroupedProblem(live, member.groups or names)
    work = Enumeration(grouped, path.with_suffix(".partial"))
    with tqdm(total=work.count, desc=title, unit="configuration", disable=title is None) as bar:
        records = work.run(lambda done: bar.update(done - bar.n))
    table = Table.of(
        grouped,
        records["loss"],
        records["correct"],
        name=path.stem,
        task=task,
        command="scripts/pretrain_agent.py",
    )
    write_table(table, path)
    work.partial.unlink()
    return table


@cache
def _data(name: str) -> Splits:
    """Load a data set once: reading it takes longer than reading all tables."""
    return load_data(name)
