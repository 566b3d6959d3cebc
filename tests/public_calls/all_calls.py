"""Every public call on toy data, by name: what tests cross with whatever may go wrong around one.

`PUBLIC_CALLS[name](folder)` makes the call, writes below `folder` alone, and returns what came of
it; `plain_values.plain` makes values of that which compare bit for bit. Networks and data are made
once, before the first call (`given.prepare`), as a user has them before he calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from public_calls import environments, files, networks, problems, quantizers, searches

PUBLIC_CALLS: Mapping[str, Callable[[Path], Any]] = {
    **networks.CALLS,
    **quantizers.CALLS,
    **files.CALLS,
    **problems.CALLS,
    **searches.CALLS,
    **environments.CALLS,
}
"""Name -> the call. A new public call belongs into the module of its kind."""
