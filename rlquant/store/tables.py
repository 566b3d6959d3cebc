"""The tables of a store, as SQLAlchemy knows them: the same in SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

STORE_VERSION = 4
"""Of the tables. 1 had evaluations alone, 2 looks too, 3 metrics and increases, 4 leases."""


class Blob(sa.LargeBinary):
    """Bytes; whatever else a damaged file has in their place comes as it is, and is refused."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        """Convert nothing."""
        return


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


METADATA = sa.MetaData()

evaluations = sa.Table(
    "evaluations",
    METADATA,
    _text("problem", key=True),
    _text("config_key", key=True),
    _text("config"),
    _number("loss", nullable=True),
    _number("accuracy", nullable=True),
    sa.Column("samples", sa.BigInteger, nullable=False),
    _text("metrics"),
    _number("seconds"),
    _number("recorded_at"),
)
"""What was measured whole. NULL stands for an infinite loss, and for an accuracy that is no number;
times are in seconds since 1970."""

looks = sa.Table(
    "looks",
    METADATA,
    _text("problem", key=True),
    _text("config_key", key=True),
    sa.Column("numbers", Blob, nullable=False),
)
"""Looks at evaluations, also at those that were ended early (see `rlquant.evaluation.looks`): their
numbers one after the other, little-endian float64."""

increases = sa.Table(
    "increases",
    METADATA,
    _text("problem", key=True),
    _text("plan", key=True),
    sa.Column("numbers", Blob, nullable=False),
)
"""Expected increases (see `rlquant.sensitivity`), layer by layer, in the same form."""

leases = sa.Table(
    "leases",
    METADATA,
    _text("problem", key=True),
    _text("config_key", key=True),
    _text("owner"),
    _number("expires_at"),
    prefixes=["UNLOGGED"],  # of PostgreSQL: a crash may forget them, and nobody waits for the disk
)
"""What somebody measures at this moment, by the database's clock."""
