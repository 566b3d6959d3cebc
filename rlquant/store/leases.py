"""Leases: who measures what at this moment, so that others wait in place of measuring it too.

A lease is a row with an expiry, which its owner puts off again and again while it measures. One
that is not held any more does no harm: it expires, and who ended on this machine is known to have.
"""

from __future__ import annotations

import re
import secrets
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa

from rlquant.process_identity import ProcessIdentity
from rlquant.store.database import Statement
from rlquant.store.records import PAGE, Records
from rlquant.store.tables import leases

LEASE_SECONDS = 60.0
"""After which an owner of which nothing is heard has lost its leases."""
HEARTBEAT_SECONDS = 15.0

_OWNER = re.compile(r"(\d{1,20})-(\d{1,20})-([0-9a-f]{12})-[0-9a-f]{8}")


class Leases:
    """The leases of one process on evaluations of a store.

    Args:
        records: of the store.
    """

    def __init__(self, records: Records) -> None:
        self._database = records.database
        self.owner = _own_name()
        self._held: set[tuple[str, str]] = set()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        expiry, own = self._database.now() + LEASE_SECONDS, leases.c.owner == self.owner
        # Made once: SQLAlchemy takes longer to make a statement than to execute it.
        self._take = _taking(records, expiry)
        self._mine = sa.select(leases.c.config_key).where(
            leases.c.problem == sa.bindparam("problem"),
            leases.c.config_key.in_(sa.bindparam("keys", expanding=True)),
            own,
        )
        self._end = sa.delete(leases).where(
            leases.c.problem == sa.bindparam("of_problem"),
            leases.c.config_key == sa.bindparam("of_key"),
            own,
        )
        self._extend = sa.update(leases).where(own).values(expires_at=expiry)

    def claim(self, problem: str, keys: Sequence[str]) -> set[str]:
        """Take leases on evaluations; return those of them that nobody else has.

        Args:
            problem: fingerprint.
            keys: of configurations.
        """
        mine: set[str] = set()
        for start in range(0, len(keys), PAGE):
            # in one order, so that no two wait for each other
            mine |= self._claim(problem, sorted(keys[start : start + PAGE]))
        self._held |= {(problem, key) for key in mine}
        if mine:
            self._begin_heartbeat()
        return mine

    def _claim(self, problem: str, keys: Sequence[str]) -> set[str]:
        mine = self._taken(problem, keys)
        others = [key for key in keys if key not in mine]
        if others and self._end_what_nobody_holds(problem, others):
            mine |= self._taken(problem, others)
        return mine

    def _taken(self, problem: str, keys: Sequence[str]) -> set[str]:
        """Take what can be had; return it."""
        rows = [{"problem": problem, "config_key": key, "owner": self.owner} for key in keys]
        take = (self._take, rows[0] if len(rows) == 1 else rows)
        if self._database.returns:
            found = self._database.run(take)
        else:
            found = self._database.run(take, (self._mine, {"problem": problem, "keys": keys}))
        return {key for (key,) in found}

    def _end_what_nobody_holds(self, problem: str, keys: Sequence[str]) -> bool:
        """End leases of processes that have ended; return whether there were any."""
        columns = leases.c
        held_by = (
            sa.select(columns.owner)
            .distinct()
            .where(columns.problem == problem, columns.config_key.in_(keys))
        )
        owners = [owner for (owner,) in self._database.run((held_by, {}))]
        ended = [owner for owner in owners if owner != self.owner and _has_ended(owner)]
        if ended:
            self._database.run((sa.delete(leases).where(columns.owner.in_(sorted(ended))), {}))
        return bool(ended)

    def ending(self, problem: str, key: str) -> list[Statement]:
        """Return the statement that gives a lease back, none where it is not held."""
        if (problem, key) not in self._held:
            return []
        return [(self._end, {"of_problem": problem, "of_key": key})]

    def forget(self, problem: str, key: str) -> None:
        """Take note that a lease was given back."""
        self._held.discard((problem, key))

    def close(self) -> None:
        """Let all leases go: they expire."""
        self._closed.set()
        self._held.clear()

    def beat(self) -> None:
        """Put the expiry of all that is held off."""
        if self._held:
            self._database.run((self._extend, {}))

    def _begin_heartbeat(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=_beat, args=(weakref.ref(self), self._closed), daemon=True
            )
            self._thread.start()


def _beat(held: weakref.ref[Leases], closed: threading.Event) -> None:
    while not closed.wait(HEARTBEAT_SECONDS):
        found = held()
        if found is None:
            return
        with suppress(Exception):  # a lease that expires costs time, and no result
            found.beat()
        del found


def _taking(records: Records, expiry: sa.ColumnElement[float]) -> sa.Executable:
    """Return what takes a lease that is free, expired or one's own, and gives its key."""
    insert = records.database.insert(leases)
    given = ("problem", "config_key", "owner")
    insert = insert.values(expires_at=expiry, **{name: sa.bindparam(name) for name in given})
    free = leases.c.expires_at < records.database.now()
    taken = insert.on_conflict_do_update(
        index_elements=["problem", "config_key"],
        set_={"owner": insert.excluded.owner, "expires_at": insert.excluded.expires_at},
        where=sa.or_(leases.c.owner == insert.excluded.owner, free),
    )
    statement: sa.Executable = taken
    if records.database.returns:
        statement = taken.returning(leases.c.config_key)
    return statement


def _own_name() -> str:
    own = ProcessIdentity.own()
    return f"{own.pid}-{own.started or 0}-{own.place}-{secrets.token_hex(4)}"


def _has_ended(owner: str) -> bool:
    """Whether an owner is a process of this machine that does not run any more."""
    found, own = _OWNER.fullmatch(owner), ProcessIdentity.own()
    if found is None or found[3] != own.place:
        return False
    other = ProcessIdentity(int(found[1]), int(found[2]) or None, own.host, own.boot, own.space)
    return other.runs is False
