"""The banks' own nodes in processes: `bank-node enrol`, then `bank-node run`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.common.processes import ServiceProcess, clean_environment

NODE = [sys.executable, "-c", "from bank_node.cli import main; main()"]


class NodeProcess(ServiceProcess):
    """A bank's agent; killed and started again it goes on with what its home folder holds."""

    def __init__(
        self, folder: Path, url: str, name: str, token: str, data: Path, *, log_level: str = "warning"
    ) -> None:  # fmt: skip
        self.home = folder / name
        self.url, self.name, self.token, self.log_level = url, name, token, log_level
        self.log = folder / f"{name}.log"
        done = subprocess.run(
            [*NODE, "enrol", "--url", url, "--name", name, "--token", token, "--data", str(data), "--home",
             str(self.home)],
            env=clean_environment(), capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"bank-node enrol: exit {done.returncode}: {done.stderr.decode()[-2000:]}")

    def add_dataset(self, name: str, path: Path) -> None:
        """Adds a file to the node's settings; read when the agent starts."""
        with (self.home / "node.toml").open("a") as settings:
            settings.write(f"\n[datasets.{name}]\npath = {json.dumps(str(path))}\n")

    def start(self) -> None:
        """Starts the agent."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*NODE, "run", "--home", str(self.home)],
                env=clean_environment(BANK_NODE_LOG_LEVEL=self.log_level), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _wait_until_free(self) -> None:
        """An agent listens nowhere."""

    def status(self) -> Any:
        """What the agent says about itself."""
        done = subprocess.run(
            [*NODE, "status", "--json", "--home", str(self.home)], env=clean_environment(), capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)

    def models(self) -> Any:
        """The models that it holds."""
        done = subprocess.run(
            [*NODE, "models", "--json", "--home", str(self.home)], env=clean_environment(), capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)


def simulated_rows(seed: int, rows: int, columns: int) -> pd.DataFrame:
    """Random rows whose label depends on the first columns; float32, as a bank's Parquet file would hold them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    score = x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + 0.5 * np.abs(x[:, 3 % columns]) - 3.0
    label = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int8)
    frame = pd.DataFrame(x, columns=[f"f{index}" for index in range(columns)])
    frame["fraud"] = label
    return frame


def schema_of(columns: int, *, test_share: float = 0.2) -> dict[str, Any]:
    """The feature schema of `simulated_rows`."""
    return {
        "features": [{"kind": "numeric", "name": f"f{index}"} for index in range(columns)],
        "label": "fraud",
        "split": {"test_share": test_share},
    }
