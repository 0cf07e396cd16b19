"""The operator's life with models, in processes: two of one name, promoted and rolled back, cards, a bank that is gone
and comes back; and every wrong word answered with an exit code and a sentence.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time

import pytest

from bank_node.exit_codes import ExitCode
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import NODE, schema_of, simulated_rows
from tests.common.processes import COMMAND, clean_environment

pytestmark = pytest.mark.server

COLUMNS = 4
NAME = "cards"
PLAN = {
    "name": NAME, "learning": {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": 8, "max_depth": 3, "max_bin": 16},
    "protection": {"level": "none"},
}  # fmt: skip


class Life:
    """The consortium, its operator's command line, and the training and digest of each model."""

    def __init__(self, consortium: ConsortiumOfNodes) -> None:
        self.consortium = consortium
        first = consortium.start_training(PLAN)
        self.digests = [consortium.finish(first)["model"]]
        consortium.enrol("bank-3", simulated_rows(3, 600, COLUMNS))  # other rows, another model
        self.digests.append(consortium.finish(self.train())["model"])

    def train(self) -> str:
        return str(self.ask("training", "start", NAME)["id"])

    def ask(self, *arguments: str):
        return self.consortium.service.cli(*arguments, token=self.consortium.token)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        service = self.consortium.service
        return subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False,
            env=clean_environment(CONSORTIUM_URL=service.url, CONSORTIUM_TOKEN=self.consortium.token),
        )  # fmt: skip

    def in_force(self) -> list[str]:
        return [model["digest"] for model in self.ask("model", "list") if model["in_force"]]

    def wait_until_banks_know(self, digest: str, standing: str = "in_force") -> None:
        """Those that hold both models."""
        until = time.monotonic() + 60
        for node in self.consortium.nodes[:3]:
            while digest not in [model["digest"] for model in node.models() if model[standing]]:
                assert time.monotonic() < until, node.models()
                time.sleep(0.2)

    def score(self, tmp_path, *options: str, bank: int = 0, code: int = 0):
        rows = tmp_path / "today.parquet"
        simulated_rows(9, 50, COLUMNS).drop(columns="fraud").to_parquet(rows)
        done = subprocess.run(
            [*NODE, "score", str(rows), "--out", str(tmp_path / "scores.csv"), "--json", "--home",
             str(self.consortium.nodes[bank].home), *options],
            env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr if code else json.loads(done.stdout)


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    rows = [simulated_rows(number, 600, COLUMNS) for number in range(3)]
    with ConsortiumOfNodes(
        tmp_path_factory.mktemp("models"), rows, policy="allow_unprotected = true\n", CONSORTIUM_MAX_WAIT_S="1"
    ) as running:
        yield Life(running)


def test_a_model_scores_when_it_is_promoted_and_no_longer_when_it_is_rolled_back(life, tmp_path):
    first, second = life.digests
    assert first != second
    assert life.in_force() == []
    scored = life.score(tmp_path)
    assert (scored["digest"], scored["why"]) == (second, f"the newest on this node; none is in force as {NAME}")

    for act, digest in ((("promote", first), first), (("promote", second), second), (("rollback", NAME), first)):
        assert life.ask("model", *act)["digest"] == digest
        assert life.in_force() == [digest]
        life.wait_until_banks_know(digest)
        scored = life.score(tmp_path)
        assert (scored["digest"], scored["why"]) == (digest, f"in force as {NAME}")
    scored = life.score(tmp_path, bank=3)  # it came after the first model, and has only the second
    assert (scored["digest"], f"model {first[:16]} is in force as {NAME}, but is not" in scored["why"]) == (
        second,
        True,
    )
    assert life.score(tmp_path, "--model", NAME)["digest"] == first
    assert life.score(tmp_path, "--model", second[:12])["digest"] == second
    refused = life.run("model", "rollback", NAME)
    assert f"consortium model withdraw {NAME}" in refused.stderr
    assert refused.returncode == 3
    assert "no model was in force before" in refused.stderr
    assert life.in_force() == [first]

    life.ask("model", "withdraw", NAME)
    assert life.in_force() == []
    life.wait_until_banks_know(first, "withdrawn")
    assert "the operator has withdrawn it" in life.score(tmp_path, code=12)
    assert life.score(tmp_path, "--model", first[:12])["digest"] == first


def test_bytes_are_fetched_verified_and_written_whole(life, tmp_path):
    first, second = life.digests
    assert "warning" not in life.run("model", "promote", first).stderr
    out = tmp_path / "model.json"
    got = life.ask("model", "get", NAME, "--out", str(out))
    assert (got["digest"], got["in_force"], json.loads(out.read_bytes())["kind"]) == (first, True, "gbdt")
    got = life.ask("model", "get", NAME, "--digest", second[:10], "--out", str(out))
    assert (got["digest"], got["in_force"]) == (second, False)

    blob = life.consortium.folder / "blobs" / "models" / got["sha256"]
    kept = blob.read_bytes()
    blob.write_bytes(kept.replace(b"1", b"2", 1))
    try:
        refused = life.run("model", "get", NAME, "--digest", second, "--out", str(tmp_path / "damaged.json"))
    finally:
        blob.write_bytes(kept)
    assert refused.returncode == 1
    assert f"expected bytes of SHA-256 {got['sha256']}" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_a_card_is_read_as_text_as_json_and_as_a_page(life, tmp_path):
    digest = life.digests[1]
    card = life.ask("model", "card", digest, "--html", str(tmp_path / "card.html"))
    assert card["volumes"]["test_rows"] == card["evaluation"]["test_rows"]
    assert card["software"]["fraud-consortium"]
    page = (tmp_path / "card.html").read_text()
    assert page.count("data:image/png;base64,") >= 3
    for text in (digest, card["warning"], "bank-3", "Alert budgets"):
        assert text in page
    shown = life.run("model", "card", digest)
    assert shown.returncode == 0
    assert "prevalence" in shown.stdout
    assert "rows looked at" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("get", "nobody", "--out", "x.json"), 3, "model nobody: there is none; `consortium model list` shows all"),
        (("get", NAME, "--digest", "00", "--out", "x.json"), 3, "expected the digest of one model, got '00'"),
        (("get", "nobody", "--digest", "00", "--out", "x.json"), 3, "model nobody: there is none"),
        (("get", NAME, "--out", "/nodir/x.json"), 2, "expected a folder /nodir to write in, got none"),
        (("card", NAME, "--html", "/nodir/x.html"), 2, "expected a folder /nodir to write in, got none"),
        (("card", "nobody"), 3, "model nobody: there is none"),
        (("promote", NAME), 3, "expected the digest or the training of one, got a name"),
        (("promote", "0" * 64), 3, "there is none"),
        (("promote", "No/Such Name"), 3, ""),
        (("rollback", "nobody"), 3, "model nobody: there is none"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_an_exit_code_and_a_sentence(life, arguments, code, sentence):
    done = life.run("model", *arguments)
    assert (done.returncode, sentence in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr


def test_a_bank_that_lost_its_home_comes_back_under_its_name(life):
    consortium = life.consortium
    lost = consortium.nodes.pop()
    lost.kill()
    shutil.rmtree(lost.home)
    taken = life.run("node", "invite", "bank-3")
    assert (taken.returncode, "consortium node remove bank-3" in taken.stderr) == (3, True)
    assert life.run("node", "remove", "bank-9").returncode == 3
    removed = life.ask("node", "remove", "bank-3")

    consortium.enrol("bank-3", simulated_rows(3, 600, COLUMNS))
    rows = [node for node in life.ask("node", "list") if node["name"] == "bank-3"]
    assert [(node["id"] == removed["id"], node["removed_at"] is None) for node in rows] == [
        (True, False),
        (False, True),
    ]
    # The others know bank-3 under its old key, and take the new one at their people's word alone.
    for node in consortium.nodes[:3]:
        node.stop()
        forgotten = subprocess.run(
            [*NODE, "banks", "--forget", "bank-3", "--home", str(node.home)], env=clean_environment(),
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert forgotten.returncode == 0, forgotten.stderr
        node.start()
    view = consortium.finish(life.train())
    assert {bank["name"]: bank["confirmed"] for bank in view["banks"]}["bank-3"] is True
    assert view["model"] == life.digests[1]  # the same rows as before it was lost


def test_a_bank_that_was_removed_sees_why_in_its_status(life):
    node = life.consortium.nodes[2]
    life.ask("node", "remove", "bank-2")
    ends = time.monotonic() + 60
    while True:
        done = subprocess.run(
            [*NODE, "status", "--home", str(node.home)], env=clean_environment(), capture_output=True, timeout=60,
            check=False, text=True,
        )  # fmt: skip
        if "it stopped by itself: " in done.stdout:
            break
        assert time.monotonic() < ends, done.stdout
        time.sleep(0.5)
    assert "was removed by the operator" in done.stdout
    assert done.returncode == ExitCode.FAILED
