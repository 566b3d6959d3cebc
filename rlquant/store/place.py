"""Where a store is: the path of an SQLite file, or the URL of a PostgreSQL database."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlquant.errors import SettingsError
from rlquant.paths import path_of

SCHEMES = ("postgresql+psycopg", "postgresql")
FORM = "postgresql+psycopg://USER@HOST/DATABASE"
_URL_AS_PATH = re.compile(r"postgres\w*(\+\w+)?:/")


def place_of(value: Any) -> Path | str:
    """Return the absolute path or the URL that an argument `store` means.

    Args:
        value: a path, or a URL as text; only text with "://" in it is one.

    Raises:
        SettingsError: neither, a URL of another database, or the driver is not installed.
    """
    if isinstance(value, str) and "://" in value:
        return _url(value)
    if isinstance(value, os.PathLike) and _URL_AS_PATH.match(os.fsdecode(value)):
        raise SettingsError(f"store: a URL as a pathlib.Path loses a slash; give text, {FORM}")
    return path_of("store", value)


def require_no_password(name: str, value: str | None) -> None:
    """Raise `SettingsError` for a URL with a password, where run folders would keep it.

    Args:
        name: of the argument.
        value: a path, a URL or nothing.
    """
    _, found, rest = (value or "").partition("://")
    account = rest.partition("/")[0].rpartition("@")[0]
    if found and (":" in account or "password=" in rest):
        raise SettingsError(
            f"{name}: a password in a URL would stand in the run folder and in lists of processes; "
            f"leave it out, and set PGPASSWORD or write it into ~/.pgpass"
        )


def _url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise SettingsError(
            f"store={scheme + '://...'!r}: use the path of an SQLite file, or {FORM}"
        )
    if find_spec("psycopg") is None:
        raise SettingsError(
            f"store={scheme + '://...'!r}: PostgreSQL needs psycopg; pip install 'rlquant[cluster]'"
        )
    from sqlalchemy.engine import make_url  # slow to import, and paths do not need it
    from sqlalchemy.exc import ArgumentError

    url = f"{SCHEMES[0]}://{rest}"
    try:
        make_url(url)
    except (ArgumentError, ValueError) as error:  # without the text: it may have a password
        raise SettingsError(f"store={scheme + '://...'!r}: no URL; use {FORM}") from error
    return url
