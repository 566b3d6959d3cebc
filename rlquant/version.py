"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "0+not.installed"
"""The version where the packages are run from a path and no distribution is installed."""


def installed_version() -> str:
    """Return the version of the distribution `rlquant`, `NOT_INSTALLED` where there is none."""
    try:
        return version("rlquant")
    except PackageNotFoundError:
        return NOT_INSTALLED
