"""The main job as it is deployed: service, two Celery workers, Redis, PostgreSQL and five banks' nodes, all processes.

    python -m benchmarks.service --case a --json -          10 trees, depth 6, 256 bins, 80,000 rows by 30 columns
    python -m benchmarks.service --case b --json -          100 trees, depth 6, 64 bins, 200,000 rows by 30 columns
    python -m benchmarks.service --case overhead --json -   rounds of a logistic regression with tiny vectors

Whole wall time is from the training's start to the released model, invitations and key ceremony included. Memory is
proportional set size (shared pages are counted once over all processes), read where it is highest.
`reference_tenseal_s` is what TenSEAL's `ckks_vector` with NVFlare's defaults takes in one process for these histograms
of five banks: each bank encrypts and serialises, the server loads, adds and serialises, each bank loads and decrypts;
nothing else, and nothing of XGBoost.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.common import machine, printing_aside, write_json
from benchmarks.process_trees import MemoryWatch
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows

CASES: dict[str, dict[str, Any]] = {
    "a": {"rows": 80_000, "columns": 30, "learning": {"kind": "gbdt", "trees": 10, "max_depth": 6, "max_bin": 256}},
    "b": {"rows": 200_000, "columns": 30, "learning": {"kind": "gbdt", "trees": 100, "max_depth": 6, "max_bin": 64}},
    "overhead": {
        "rows": 5_000,
        "columns": 4,
        "learning": {"kind": "fedavg", "rounds": 100, "local_epochs": 1},
        "look_s": 2.0,
    },
}
#: Seconds between two looks at a training and at its processes' memory. A look costs the server 5 ms and more: where
#: rounds themselves are to be timed they are left alone for longer.
_LOOK_S = 0.5
_BANKS = 5


def measure(case: dict[str, Any], *, workers: int, level: str) -> dict[str, Any]:
    """Runs a case; see the module."""
    look_s = case.get("look_s", _LOOK_S)
    tables = [simulated_rows(seed, case["rows"] // _BANKS, case["columns"]) for seed in range(_BANKS)]
    learning = case["learning"] | {"inputs": schema_of(case["columns"])}
    plan = {"name": "benchmark", "learning": learning, "protection": {"level": level}}
    policy = "allow_unprotected = true\nmax_rounds_a_day = 1000000\n"
    with (
        tempfile.TemporaryDirectory(prefix="service-benchmark-") as folder,
        ConsortiumOfNodes(Path(folder), tables, workers=workers, policy=policy) as consortium,
        httpx.Client(base_url=consortium.service.url, timeout=60.0) as http,
    ):
        http.headers["Authorization"] = f"Bearer {consortium.token}"
        watch = MemoryWatch(
            {
                "server": _pids([consortium.service]), "workers": _pids(consortium.workers),
                "nodes": _pids(consortium.nodes), "backends": _pids(consortium.backends),
            },
            every_s=look_s,
        )  # fmt: skip
        watch.start()
        cpu_before = watch.cpu_s()
        training = consortium.start_training(plan)
        view = _until_completed(http, training, look_s)
        wall = view["ended_at"] - view["created_at"]
        cpu = {name: round(value - cpu_before[name], 2) for name, value in watch.cpu_s().items()}
        peaks = {name: round(value, 1) for name, value in watch.stop().items()}
        rounds = http.get(f"/v1/trainings/{training}/rounds", params={"limit": 5000}).json()["rounds"]
        time.sleep(2.0)  # the nodes write their status once a second
        nodes = [node.status()["status"] for node in consortium.nodes]
        card = consortium.service.cli("model", "card", "benchmark", token=consortium.token)
    return {
        "wall_s": round(wall, 2), "rounds": view["rounds_done"],
        "round_ms": _round_ms(rounds), "split_s": _split(nodes, rounds, training, wall),
        "cpu_s": cpu,
        "bytes_moved": sum(node["bytes_up"] + node["bytes_down"] for node in nodes),
        "peak_rss_mb_all": peaks["all"], "server_peak_rss_mb": peaks["server"], "peak_mb": peaks,
        "ap": card["evaluation"].get("test_ap"), "values": [one["values"] for one in rounds],
    }  # fmt: skip


def _pids(servers: list[Any]) -> list[int]:
    return [server.process.pid for server in servers if server.process is not None]


def _until_completed(http: httpx.Client, training: str, look_s: float) -> dict[str, Any]:
    shown = 0.0
    while True:
        view: dict[str, Any] = http.get(f"/v1/trainings/{training}").json()
        if view["state"] in {"completed", "failed", "paused"}:
            if view["state"] != "completed":
                raise SystemExit(f"the training is {view['state']}: {view['reason']}")
            return view
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            print(f"{view['state']}: {view['rounds_done']} of {view['rounds_expected']} rounds", file=sys.stderr)
        time.sleep(look_s)  # the service keeps the times


def _round_ms(rounds: list[dict[str, Any]]) -> float:
    """Median over the rounds, the first excepted, of the time from opening to applying."""
    times = [one["seconds"]["collecting"] + one["seconds"]["decrypting"] for one in rounds[1:]]
    return round(1000 * statistics.median(times), 1)


def _split(nodes: list[dict[str, Any]], rounds: list[dict[str, Any]], training: str, wall: float) -> dict[str, float]:
    """Where the time went. Nodes run side by side: a node's figures are the mean over the banks.

    `aggregation` is the workers' own time for opening sums and deriving the next state; `waiting` is what is left.
    """

    def mean(*names: str) -> float:
        spent = [node["trainings"][training]["seconds"] for node in nodes]
        return statistics.fmean(sum(one.get(name, 0.0) for name in names) for one in spent)

    found = {
        "bank_compute": mean("compute", "apply"), "encryption": mean("encrypt"), "decryption": mean("decrypt"),
        "transfer": statistics.fmean(node["transfer_s"] for node in nodes),
        "aggregation": sum(one["seconds"].get("open_s", 0) + one["seconds"].get("apply_s", 0) for one in rounds),
    }  # fmt: skip
    found["waiting"] = wall - sum(found.values())
    return {name: round(value, 2) for name, value in found.items()}


def reference_tenseal(values: list[int]) -> float:
    """Seconds that TenSEAL alone takes for sums of these lengths over five banks."""
    import tenseal as ts  # noqa: PLC0415  # the reference alone needs it

    context = ts.context(
        ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40], encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC
    )
    context.global_scale = 2.0**40
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    for length in values:
        vector = rng.random(length)
        sent = [ts.ckks_vector(context, vector).serialize() for _ in range(_BANKS)]
        total = ts.ckks_vector_from(context, sent[0])
        for one in sent[1:]:
            total += ts.ckks_vector_from(context, one)
        summed = total.serialize()
        for _ in range(_BANKS):  # every bank opens the sum for itself
            opened = ts.ckks_vector_from(context, summed).decrypt()
            assert abs(opened[0] - _BANKS * vector[0]) < 1e-3
    return round(time.perf_counter() - began, 2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers; 0: embedded worker and SQLite")
    parser.add_argument("--protection", choices=("ckks", "none"), default="ckks")
    parser.add_argument("--no-reference", action="store_true", help="leave TenSEAL out")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the JSON goes; - for standard output")
    given = parser.parse_args()
    names = list(CASES) if given.case == "all" else [given.case]
    result: dict[str, Any] = {"machine": machine(), "protection": given.protection, "workers": given.workers}
    for name in names:
        print(f"case {name}", file=sys.stderr)
        found = measure(CASES[name], workers=given.workers, level=given.protection)
        values = found.pop("values")
        found["values"] = sum(values)
        if name == "overhead":
            found["round_overhead_ms"] = found["round_ms"]
        elif not given.no_reference:
            with printing_aside():  # TenSEAL warns of every vector that takes more than one ciphertext
                found["reference_tenseal_s"] = reference_tenseal(values)
            found["ratio_to_tenseal"] = round(found["wall_s"] / found["reference_tenseal_s"], 3)
        result[name] = found
    write_json(result if given.case == "all" else result | result.pop(given.case), given.json)


if __name__ == "__main__":
    main()
