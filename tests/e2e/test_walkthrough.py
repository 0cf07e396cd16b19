"""docs/walkthrough.md, its lines as they stand there: typed by one who has nothing but a checkout and its `.venv`."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common.processes import clean_environment
from tests.common.servers import free_port

pytestmark = pytest.mark.server

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A folder with what a checkout has after `make setup`, to write beside."""
    for name in ("examples", "learning", "protocol"):
        (tmp_path / name).symlink_to(_ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_the_walkthrough_leads_to_alerts(checkout):
    text = (_ROOT / "docs" / "walkthrough.md").read_text()
    port = free_port()
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    lines = lines.replace("http://127.0.0.1:8440", f"http://127.0.0.1:{port}")
    environment = clean_environment() | {"CONSORTIUM_PORT": str(port), "CONSORTIUM_URL": f"http://127.0.0.1:{port}"}
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{lines}"],
        check=False, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with (checkout / "by-hand" / "scores.csv").open() as scores:
        rows = list(csv.DictReader(scores))
    alerts = [row for row in rows if row["alert"] == "1"]
    assert 0.005 < len(alerts) / len(rows) <= 0.01
    assert "this bank would take part" in done.stdout
    assert "in force as card-fraud" in done.stdout
    assert "card-fraud (" in done.stdout
    assert "completed, 125 rounds" in done.stdout
