"""What a secure sum costs: encrypting, adding, decryption shares, combining; beside TenSEAL's own `ckks_vector`.

    python -m benchmarks.secure_sum --banks 5 --threshold 3 --values 1000000 --json -
    python -m benchmarks.secure_sum --sweep --json sweep.json

The reference is what NVFlare's secure aggregation does by default: a symmetric TenSEAL context, N = 8192, coefficient
primes of [60, 40, 40] bits, scale 2^40. Both are measured in this run, in turns, on one thread. `online` is what is
left of encrypting when the masks were made ahead of time (they do not depend on the data).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import crypto
from benchmarks.common import current_rss_mb, machine, median_seconds, peak_rss_mb, printing_aside, write_json
from crypto import kernels
from crypto.member import Ceremony, CommitteeKeyBuilder, Decryptor, Encryptor, SealingKey, SecretKey, deal
from crypto.parameters import error_bound
from crypto.ring import ring_of
from crypto.summation import unpack_chunk

_RUNS = 5
_BITS = 44
_RESOLUTION = 2.0**-20


class Banks:
    """Banks after a key ceremony, and one vector for each."""

    def __init__(self, banks: int, committee: int, threshold: int, values: int) -> None:
        parameters = crypto.derive(crypto.ParameterSpec(_BITS, banks, committee, threshold))
        ids = tuple(sorted(os.urandom(16) for _ in range(banks)))
        self.ceremony = Ceremony(parameters, os.urandom(16), ids, ids[:committee])
        self.secrets = {bank: SecretKey.generate(parameters) for bank in ids}
        sealing = {member: SealingKey.generate() for member in self.ceremony.committee}
        public = {member: key.public_bytes for member, key in sealing.items()}
        started = time.perf_counter()
        dealt = {bank: deal(self.ceremony, bank, self.secrets[bank], public) for bank in ids}
        self.deal_s = (time.perf_counter() - started) / banks
        self.keys = {}
        for member in self.ceremony.committee:
            builder = CommitteeKeyBuilder(self.ceremony, member, sealing[member])
            for bank in ids:
                builder.receive(bank, dealt[bank].commitments, dealt[bank].sealed[member])
            self.keys[member] = builder.finish()
        generator = np.random.default_rng(1)
        most = (1 << (_BITS - 1)) // banks
        self.vectors = {bank: generator.integers(-most, most, values) for bank in ids}
        self.rounds = 0

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The banks."""
        return self.ceremony.dealers

    def round(self) -> crypto.RoundId:
        """A round that was not used yet."""
        self.rounds += 1
        values = len(next(iter(self.vectors.values())))
        return crypto.RoundId(self.ceremony.parameters, self.ceremony.training, self.rounds, values)


class Ours:
    """One sum, step by step, timed."""

    def __init__(self, banks: Banks, threads: int) -> None:
        self.banks, self.threads = banks, threads
        self.encryptors = {
            bank: Encryptor(banks.ceremony, bank, banks.secrets[bank], threads=threads) for bank in banks.ids
        }
        self.decryptors = {
            member: Decryptor(banks.ceremony, member, key, threads=threads) for member, key in banks.keys.items()
        }

    def encrypt(self, *, runs: int) -> tuple[float, float, float]:
        """Median seconds of a whole encryption with serialising, of preparing, and of what is left then."""
        bank = self.banks.ids[0]
        whole, prepared, online = [], [], []
        for _ in range(runs):
            round_id = self.banks.round()
            started = time.perf_counter()
            self.encryptors[bank].encrypt(round_id, self.banks.vectors[bank])
            whole.append(time.perf_counter() - started)
            round_id = self.banks.round()
            started = time.perf_counter()
            self.encryptors[bank].prepare(round_id)
            middle = time.perf_counter()
            self.encryptors[bank].encrypt(round_id, self.banks.vectors[bank])
            prepared.append(middle - started)
            online.append(time.perf_counter() - middle)
        return statistics.median(whole), statistics.median(prepared), statistics.median(online)

    def messages(self, round_id: crypto.RoundId) -> list[bytes]:
        """Every bank's contribution."""
        return [self.encryptors[bank].encrypt(round_id, vector) for bank, vector in self.banks.vectors.items()]


def _bodies(round_id: crypto.RoundId, messages: list[bytes]) -> list[memoryview]:
    offset, size = round_id.byte_range(0, round_id.chunks)
    return [memoryview(message)[offset : offset + size] for message in messages]


def _largest_error(round_id: crypto.RoundId, summed: bytes, shares: list[memoryview]) -> int:
    """The largest distance of an opened coefficient from its multiple of the scale, in units of what is sent."""
    parameters = round_id.parameters
    together = crypto.sum_chunks(round_id, 0, round_id.chunks, [summed, *shares])
    q0, worst, start = ring_of(parameters).primes[0].p, 0, 0
    for chunk in range(round_id.chunks):
        count = round_id.coefficients(chunk)
        size = count * parameters.residue_bytes
        y = unpack_chunk(round_id, memoryview(together)[start : start + size], chunk)
        out = np.empty(count, dtype=np.int64)
        _, found = kernels.decode(y, q0, np.uint64(parameters.scale), np.int64(1 << 62), out)
        worst, start = max(worst, int(found)), start + size
    return worst


def measure_ours(banks: Banks, *, threads: int, runs: int) -> dict[str, Any]:
    """Every step of a sum with this many threads in the banks' processes; the worker adds on one."""
    ours = Ours(banks, threads)
    encrypt_s, prepare_s, online_s = ours.encrypt(runs=runs)
    round_id = banks.round()
    messages = ours.messages(round_id)
    bodies = _bodies(round_id, messages)
    check_s = median_seconds(lambda: crypto.check_contribution(round_id, banks.ids[0], messages[0]), runs=runs)
    sum_s = median_seconds(lambda: crypto.sum_chunks(round_id, 0, round_id.chunks, bodies), runs=runs)
    spec = banks.ceremony.parameters.spec
    assignment = crypto.assign(spec.committee_size, spec.threshold, available=range(spec.committee_size))
    shares, share_times = [], []
    for member, pieces in assignment.items():
        decryptor = ours.decryptors[banks.ceremony.committee[member]]
        share_times.append(
            median_seconds(lambda d=decryptor, p=pieces: d.share(round_id, banks.ids, p), runs=min(3, runs))  # type: ignore[misc]
        )
        shares.append(decryptor.share(round_id, banks.ids, pieces))
    summed = crypto.sum_chunks(round_id, 0, round_id.chunks, bodies)
    share_bodies = _bodies(round_id, shares)

    def combine() -> NDArray[np.int64]:
        return crypto.combine_chunks(round_id, 0, round_id.chunks, summed, share_bodies, len(banks.ids))

    combine_s = median_seconds(combine, runs=runs)
    error = np.abs(combine() - sum(banks.vectors.values())).max()
    values = round_id.values
    return {
        "threads": threads,
        "encrypt_s": encrypt_s,
        "encrypt_prepare_s": prepare_s,
        "encrypt_online_s": online_s,
        "check_s": check_s,
        "sum_s_per_contribution": sum_s / len(messages),
        "share_s": statistics.median(share_times),
        "shares": len(shares),
        "combine_s": combine_s,
        "deal_s": banks.deal_s,
        "bytes_per_value": len(messages[0]) / values,
        "share_bytes_per_value": len(shares[0]) / values,
        "max_abs_error": float(error) * _RESOLUTION,
        "error_bound": error_bound(banks.ceremony.parameters, contributors=len(banks.ids), shares=len(shares)),
        "error_seen": _largest_error(round_id, summed, share_bodies),
        "error_limit_units": banks.ceremony.parameters.scale // 2,
    }


class Reference:
    """TenSEAL's `ckks_vector` as NVFlare uses it by default."""

    def __init__(self, values: int) -> None:
        import tenseal  # noqa: PLC0415  # only where the reference is measured

        self._tenseal = tenseal
        self.context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC, n_threads=1,
        )  # fmt: skip
        self.context.global_scale = 2**40
        self.vector = np.random.default_rng(2).normal(size=values).tolist()

    def measure(self, runs: int) -> dict[str, Any]:
        """Median seconds by step."""
        steps: dict[str, list[float]] = {name: [] for name in ("encrypt", "serialise", "load", "add", "decrypt")}
        size, error = 0, 0.0
        for _ in range(runs):
            marks = [time.perf_counter()]
            encrypted = self._tenseal.ckks_vector(self.context, self.vector)
            marks.append(time.perf_counter())
            data = encrypted.serialize()
            marks.append(time.perf_counter())
            loaded = self._tenseal.ckks_vector_from(self.context, data)
            marks.append(time.perf_counter())
            encrypted.add_(loaded)
            marks.append(time.perf_counter())
            opened = encrypted.decrypt()
            marks.append(time.perf_counter())
            size = len(data)
            error = float(np.abs(np.array(opened) - 2 * np.array(self.vector)).max())
            for name, first, last in zip(steps, marks, marks[1:], strict=False):
                steps[name].append(last - first)
        found: dict[str, Any] = {f"{name}_s": statistics.median(times) for name, times in steps.items()}
        return found | {"bytes_per_value": size / len(self.vector), "max_abs_error": error, "values": len(self.vector)}


def measure(banks: int, threshold: int, values: int, *, runs: int) -> dict[str, Any]:
    """Ours on one thread, the reference, ours on all cores; ratios of costs a value."""
    met = Banks(banks, min(banks, 9), threshold, values)
    measure_ours(Banks(banks, min(banks, 9), threshold, 8191), threads=1, runs=1)  # compiles
    before = current_rss_mb()
    one = measure_ours(met, threads=1, runs=runs)
    peak = peak_rss_mb()
    with printing_aside():  # TenSEAL warns of every vector that takes more than one ciphertext
        reference = Reference(min(values, 200_000)).measure(runs)
    again = measure_ours(met, threads=1, runs=runs)
    for name in ("encrypt_s", "encrypt_online_s", "check_s", "sum_s_per_contribution", "share_s", "combine_s"):
        one[name] = statistics.median([one[name], again[name]])
    every = measure_ours(met, threads=machine()["cores"], runs=runs)
    scale = values / reference["values"]
    return {
        **{name: value for name, value in one.items() if name != "threads"},
        "banks": banks,
        "threshold": threshold,
        "committee": min(banks, 9),
        "values": values,
        "peak_rss_mb": peak,
        "rss_before_mb": before,
        "bytes_in_flight_mb": (banks + one["shares"] + 1) * one["bytes_per_value"] * values / 2**20,
        "all_cores": every,
        "reference": reference,
        "ratio": {
            "encrypt_serialise": (reference["encrypt_s"] + reference["serialise_s"]) * scale / one["encrypt_s"],
            "encrypt_serialise_online": (
                (reference["encrypt_s"] + reference["serialise_s"]) * scale / one["encrypt_online_s"]
            ),
            "load_add": (
                (reference["load_s"] + reference["add_s"]) * scale / (one["check_s"] + one["sum_s_per_contribution"])
            ),
            "bytes": reference["bytes_per_value"] / one["bytes_per_value"],
        },
        "machine": machine(),
    }


#: The sweep's contributions together are larger than a processor's caches, as those of a real round are.
_SWEEP_BYTES = 400 << 20
_LEAST_BYTES = 128 << 20
_RANGE_CHUNKS = 16


def sweep(values: int, *, runs: int) -> dict[str, Any]:
    """The worker's sum over more and more banks, beside NumPy's addition of as many bytes; memory must not grow."""
    rows = [_sweep_row(banks, values, runs) for banks in (3, 10, 30, 100, 300, 1000)]
    return {"rows": rows, "peak_rss_mb": peak_rss_mb(), "machine": machine()}


def _sweep_row(banks: int, values: int, runs: int) -> dict[str, Any]:
    parameters = crypto.derive(crypto.ParameterSpec(40, banks, 5, 4))
    # Few banks send more values, so that no row's contributions lie in a processor's cache: a worker reads them afresh.
    values = max(values, _LEAST_BYTES // (banks * parameters.residue_bytes))
    round_id = crypto.RoundId(parameters, bytes(16), 0, values)
    size = round_id.byte_range(0, round_id.chunks)[1]
    generator = np.random.default_rng(3)
    distinct = [_random_body(round_id, generator) for _ in range(min(banks, _SWEEP_BYTES // size))]
    plain = [np.frombuffer(body[: size // 8 * 8], dtype=np.int64) for body in distinct]
    total = np.zeros_like(plain[0])

    def parts(count: int, offset: int, length: int) -> Iterator[memoryview]:
        return (memoryview(distinct[k % len(distinct)])[offset : offset + length] for k in range(count))

    def add_up(count: int) -> None:
        for first in range(0, round_id.chunks, _RANGE_CHUNKS):  # a range is a task, as in the workers
            chunks = min(_RANGE_CHUNKS, round_id.chunks - first)
            offset, length = round_id.byte_range(first, chunks)
            crypto.sum_chunks(round_id, first, chunks, parts(count, offset - crypto.HEADER_BYTES, length))

    def add() -> None:
        for k in range(banks):
            np.add(total, plain[k % len(plain)], out=total)

    add_up(2)
    before = current_rss_mb()
    sums, adds = [], []
    for _ in range(runs):
        sums.append(median_seconds(lambda: add_up(banks), runs=1))
        adds.append(median_seconds(add, runs=1))
    sum_s, numpy_s = statistics.median(sums), statistics.median(adds)
    return {
        "banks": banks,
        "values": values,
        "residue_bytes": parameters.residue_bytes,
        "gb_per_s": banks * size / sum_s / 1e9,
        "numpy_gb_per_s": banks * size / numpy_s / 1e9,
        "ratio": numpy_s / sum_s,
        "sum_s": sum_s,
        "memory_held_mb": max(0.0, current_rss_mb() - before),
    }


def _random_body(round_id: crypto.RoundId, generator: np.random.Generator) -> bytes:
    """Residues below the prime, packed: what a contribution looks like to a worker."""
    from crypto import packing  # noqa: PLC0415  # the sweep alone packs by hand

    parameters, parts = round_id.parameters, []
    for chunk in range(round_id.chunks):
        residues = generator.integers(0, parameters.q0, round_id.coefficients(chunk), dtype=np.uint64)
        out = np.empty(len(residues) * parameters.residue_bytes, dtype=np.uint8)
        packing.pack(residues, parameters.residue_bytes, out)
        parts.append(out.tobytes())
    return b"".join(parts)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banks", type=int, default=5)
    parser.add_argument("--threshold", type=int, default=3)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=_RUNS, help="timed runs of each step; medians are reported")
    parser.add_argument("--sweep", action="store_true", help="the worker's sum over 3 to 1,000 banks")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the JSON goes; - for standard output")
    given = parser.parse_args()
    if given.sweep:
        result = sweep(min(given.values, 500_000), runs=max(3, given.runs))
    else:
        result = measure(given.banks, given.threshold, given.values, runs=max(3, given.runs))
    write_json(result, given.json)


if __name__ == "__main__":
    main()
