"""Find how each layer of a trained network should be quantized, under a budget that is kept.

The public names stand in `public.py`. They are loaded when the first of them is used: PyTorch takes
seconds to load, and `rlquant --help` does without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlquant.public import *  # noqa: F403
    from rlquant.public import __all__ as __all__

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """Return a public name, or the version of the installed distribution."""
        if name == "__version__":
            return import_module("rlquant.version").installed_version()
        if not name.startswith("__") or name == "__all__":
            public = import_module("rlquant.public")
            found = {"__all__": public.__all__, **{n: getattr(public, n) for n in public.__all__}}
            if name in found:
                globals().update(found)
                return found[name]
        raise AttributeError(f"module 'rlquant' has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Return the public names, and what else is loaded."""
        return sorted({*import_module("rlquant.public").__all__, "__version__", *globals()})
