"""The benchmark of sums prints its result and nothing else, though TenSEAL warns on standard output."""

import json
import subprocess
import sys
from pathlib import Path


def test_standard_output_is_one_json_object():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.secure_sum", "--banks", "3", "--values", "20000", "--runs", "3"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["max_abs_error"] == 0
    assert found["reference"]["bytes_per_value"] > found["bytes_per_value"]
    assert "does not fit in a single ciphertext" in done.stderr
