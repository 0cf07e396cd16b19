"""The versions that a model was released with; they stay in its record when the service is upgraded."""

from __future__ import annotations

import platform
from importlib import metadata

_PACKAGES = ("fraud-consortium", "tenseal", "xgboost-cpu", "numpy", "pandas", "scikit-learn", "cryptography")


def versions() -> dict[str, str]:
    """Package → version, of what is installed here."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the service's image leaves out what only banks need
            continue
    return found
