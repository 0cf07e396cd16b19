"""Imports every module of the packages named, so that one that lacks another fails where the image is built."""  # noqa: INP001  # a script

import importlib
import pkgutil
import sys

#: What runs something when it is imported.
_RUNS = ("workers.__main__", "consortium.migrations.env")

for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if module.name not in _RUNS:
            importlib.import_module(module.name)
