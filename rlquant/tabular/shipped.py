"""The tables that come with rlquant, by name."""

from __future__ import annotations

import os
from pathlib import Path

from rlquant.arguments import explained
from rlquant.errors import SettingsError, unknown_name
from rlquant.paths import PathLike, path_of
from rlquant.tabular.table import Table
from rlquant.tabular.table_file import read_table

FOLDER = Path(__file__).parent / "data"
SUFFIX = ".rlt"


def table_names() -> tuple[str, ...]:
    """Return the names of the tables that come with rlquant, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


@explained
def load_table(table: PathLike) -> Table:
    """Return a table by its name, or read one from a file.

    Args:
        table: one of `table_names()`, or the path of an `.rlt` file.

    Raises:
        UnknownNameError: no table of that name comes with rlquant.
        SettingsError: neither a name nor a path.
        FileFormatError, StorageError: a file that cannot be read; see `read_table`.

    Examples:
        >>> import rlquant
        >>> table = rlquant.load_table("digits-cnn")
        >>> problem = rlquant.TabularProblem(table, rlquant.Budget.average_bits(3.0))
        >>> best, score = problem.optimum()
        >>> score.average_bits <= 3.0
        True
    """
    if not isinstance(table, (str, os.PathLike)):
        raise SettingsError(f"table={table!r}, give a name out of {table_names()} or a path")
    if not isinstance(table, str) or table.endswith(SUFFIX):
        return read_table(path_of("table", table))
    if table not in table_names():
        raise unknown_name("table", table, table_names())
    return read_table(FOLDER / f"{table}{SUFFIX}")
