"""What the processes write for people, at log level debug, over a whole encrypted training and a refused one: logs and
status files have no key, seed, token or number of a bank in any usual encoding. The search finds what is planted.
"""

from __future__ import annotations

import base64
import re
import time

import numpy as np
import pytest

from bank_node.home import Home
from bank_node.identity import read_identity
from bank_node.settings import load_settings
from bank_node.training_store import AttemptStore, TrainingStore
from bank_node.vault import Vault
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows
from tests.e2e.test_wire import (
    COLUMNS,
    LEARNING,
    contributions_of_first_bank,
    encodings,
    found_in_clear,
    telling_windows,
)

pytestmark = pytest.mark.server

#: A signed request's token: header and claims are JSON objects in base64.
REQUEST_TOKEN = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}")
WINDOW = 32


def texts_of(secret):
    """How somebody would write these bytes down."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):  # base64 has three phases; the middle of each is free of its neighbours
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * shift + secret)[4:-4]
    yield repr(secret).encode()[2:-1]
    for kind in (np.int8, np.uint8):
        numbers = np.frombuffer(secret, dtype=kind).tolist()
        yield from (separator.join(map(str, numbers)).encode() for separator in (", ", ",", " "))


def windows(secret):
    """Parts of a long secret: a line of a log may have been cut."""
    return [secret[at : at + WINDOW] for at in range(0, len(secret) - WINDOW + 1, WINDOW)][:200]


def leaks(secrets, written):
    """Names of the secrets of which something was written."""
    return {
        name
        for name, secret in secrets.items()
        if any(text in written for window in windows(secret) for text in texts_of(window))
    }


def keys_of(node, training):
    """Every secret that a node has while a training runs, opened as the node opens it."""
    home = Home(node.home)
    vault = Vault.open(home, load_settings(home))
    store = TrainingStore(home.trainings / training, None)
    attempt = store.attempt(0)
    return {
        "key file": home.key_file.read_bytes(),
        "signing key": read_identity(home, vault).signing_key.private_bytes_raw(),
        "sealing key": vault.sealing_key(store.sealing_key()).to_secret_bytes(),
        "secret key": vault.unseal(attempt.sealed(AttemptStore.SECRET)),
        # after magic, ceremony and member come the pieces' seeds
        "seeds": vault.unseal(attempt.sealed(AttemptStore.COMMITTEE))[54:],
        "enrolment token": node.token.encode(),
    }


def wait_for_keys(consortium, training):
    """Until every node has received everything; the rounds that follow take seconds."""
    receipts = [node.home / "trainings" / training / "attempt-0" / "receipt.json" for node in consortium.nodes]
    until = time.monotonic() + 120
    while not all(path.exists() for path in receipts):
        assert time.monotonic() < until, consortium.show(training)
        time.sleep(0.02)


def written_by(consortium):
    """Everything that the processes have written for people."""
    servers = [consortium.service, *consortium.workers, *consortium.nodes]
    logs = [server.log.read_bytes() for server in servers]
    assert all(b"trusted-at-first-sight" in node.log.read_bytes() for node in consortium.nodes)
    files = [path.read_bytes() for node in consortium.nodes for path in node.home.glob("*.json")]
    assert len(files) >= 3 * len(consortium.nodes)
    return b"\n".join(logs + files)


def sums_of(tables):
    """Query and plaintext sum of every round: each bank is once the first."""
    turned = [contributions_of_first_bank([*tables[at:], *tables[:at]]) for at in range(len(tables))]
    return [(one[0][0], sum(vector for _, vector in one)) for one in zip(*turned, strict=True)]


def test_no_secret_is_written_for_people(tmp_path):
    tables = [simulated_rows(number, 400, COLUMNS) for number in range(3)]
    with ConsortiumOfNodes(tmp_path, tables, log_level="debug", CONSORTIUM_LOG_LEVEL="DEBUG") as consortium:
        training = consortium.start_training({"name": "m", "learning": LEARNING})
        wait_for_keys(consortium, training)
        secrets = {
            f"{node.name}: {name}": secret
            for node in consortium.nodes
            for name, secret in keys_of(node, training).items()
        }
        secrets["operator's token"] = consortium.token.encode()
        consortium.finish(training)
        # Errors are written, too: one plan that the banks' data do not fit, one that their policy refuses.
        for name, parts in (("wide", {"learning": LEARNING | {"inputs": schema_of(COLUMNS + 1)}}),
                            ("open", {"learning": LEARNING, "protection": {"level": "none"}})):  # fmt: skip
            consortium.until(consortium.start_training({"name": name, **parts}), "failed")
        written = written_by(consortium)

    assert leaks(secrets, written) == set()
    assert REQUEST_TOKEN.search(written) is None
    rounds = contributions_of_first_bank(tables)
    findings, looked = found_in_clear(written, rounds)
    assert (findings, looked > 50) == (set(), True)
    assert found_in_clear(written, sums_of(tables))[0] == set()

    # The search finds what is there: each secret in each encoding, and numbers.
    for name, secret in secrets.items():
        for text in texts_of(windows(secret)[0]):
            assert leaks({name: secret}, b"key=" + text + b" end") == {name}
    query, vector = max(rounds, key=lambda one: len(telling_windows(one[1])))
    for name, width, data in encodings(query, vector):
        if width >= 4:  # three narrower numbers may be bytes by chance, and are not looked for
            assert name in found_in_clear(data, [(query, vector)])[0]
