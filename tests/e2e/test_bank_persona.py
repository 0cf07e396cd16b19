"""A bank's admin and fraud desk at the command line: every `bank-node` command as a process, right and wrong.

Whatever goes wrong ends with the documented exit code and a sentence that says what to do; never with a traceback.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bank_node.exit_codes import ExitCode
from bank_node.settings import load_settings
from protocol.plan import Plan
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.enrolled_home import enrolled_home, train_alone
from tests.common.nodes import NODE, schema_of, simulated_rows
from tests.common.processes import clean_environment

pytestmark = pytest.mark.server

DAY = "2026-02-20"
PLAN = {
    "name": "card-fraud",
    "learning": {
        "kind": "gbdt", "trees": 3, "max_depth": 3, "max_bin": 16,
        "inputs": {
            "features": [
                {"kind": "numeric", "name": "amount"}, {"kind": "numeric", "name": "customer_count_7d"},
                {"kind": "numeric", "name": "customer_ratio_30d"},
            ],
            "label": "fraud",
        },
    },
    "features": {"customer": "customer", "time": "time", "amount": "amount", "profile_windows_days": [7, 30]},
}  # fmt: skip


def transactions(seed):
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 51 * 24 * 60, 1500))
    unusual = rng.random(1500) < 0.1
    return pd.DataFrame(
        {
            "number": [f"{number:06d}" for number in range(1500)],
            "customer": rng.integers(0, 50, 1500),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(minutes, unit="min"),
            "amount": (rng.exponential(40, 1500) * np.where(unusual, 6, 1)).round(2),
            "fraud": (unusual & (rng.random(1500) < 0.7)).astype(int),
        }
    )


def bank_node(*arguments, folder=None, **environment):
    """Runs a command; whatever it says, it is no traceback."""
    done = subprocess.run(
        [*NODE, *map(str, arguments)], cwd=folder, env=clean_environment(**environment), capture_output=True,
        timeout=120, check=False, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def says(done, code, *sentences):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for sentence in sentences:
        assert sentence in done.stdout + done.stderr


def kept_in_a_backup():
    """The files that the page for the bank's admin wants in a backup."""
    page = (Path(__file__).parents[2] / "docs" / "node.md").read_text()
    return re.findall(r"`([^`]+)`", page.partition("\nBack up ")[2].partition(":")[0])


def until(sentence, *home):
    """Waits until the node's status says so."""
    ends = time.monotonic() + 60
    while sentence not in (said := bank_node("status", *home).stdout):
        assert time.monotonic() < ends, said
        time.sleep(0.2)


def test_a_bank_from_its_enrolment_to_the_days_alerts(tmp_path):
    tables = [transactions(seed) for seed in range(3)]
    with ConsortiumOfNodes(tmp_path, tables) as consortium:
        home = ("--home", consortium.nodes[0].home)
        (tmp_path / "plan.json").write_text(json.dumps(PLAN))
        says(bank_node("check-plan", tmp_path / "plan.json", *home), 0, "would take part in 'card-fraud'")
        training = consortium.start_training(PLAN)
        view = consortium.finish(training)

        says(bank_node("status", *home), 0, "bank-0 at", "running", "card-fraud (")
        says(bank_node("models", *home), 0, "* card-fraud  gbdt", view["model"][:16])
        says(bank_node("keys", "show", *home), 0, "signing key", "public")
        says(bank_node("banks", *home), 0, "bank-1", "bank-2")
        shown = bank_node("policy", "show", *home)
        says(shown, 0, "min_contributors = 3", "# privacy: not set", "plans = []  # any")
        tomllib.loads(shown.stdout)
        says(bank_node("policy", "check", *home), 0, "good")
        says(bank_node("ledger", *home), 0, f"{training}  no noise", "epsilon in all  no noise without a budget")
        says(bank_node("run", "--once", *home), ExitCode.ALREADY_RUNNING, "another agent works in this folder")

        day = tables[0][tables[0]["time"] >= DAY].drop(columns="fraud")
        day.to_csv(tmp_path / "today.csv", index=False)
        scored = bank_node(
            "score", "today.csv", "--out", "scores.csv", "--id-column", "number", "--alerts", "5%", *home,
            folder=tmp_path,
        )  # fmt: skip
        says(scored, 0, f"{len(day)} scores of model card-fraud", "alerts: ", "history: ")
        assert "warning" not in scored.stderr

        restored = tmp_path / "restored"
        restored.mkdir()
        for name in kept_in_a_backup():
            copy = shutil.copytree if name.endswith("/") else shutil.copy
            if (consortium.nodes[0].home / name).exists():
                copy(consortium.nodes[0].home / name, restored / name)
        again = ("--home", restored)
        says(bank_node("score", "today.csv", "--out", "again.csv", "--id-column", "number", *again, folder=tmp_path), 0)
        says(bank_node("keys", "show", *again), 0, "signing key")
        says(bank_node("policy", "check", *again), 0, "good")
        consortium.nodes[0].stop()
        says(bank_node("run", "--once", *again), 0)
        says(bank_node("status", *again), 1, "bank-0 at")
        consortium.nodes[0].start()
        found = pd.read_csv(tmp_path / "scores.csv", dtype={"number": str})
        assert found["number"].tolist() == day["number"].tolist()
        assert found["alert"].sum() >= len(day) // 20
        # The same rows within the whole file have the same scores.
        tables[0].to_csv(tmp_path / "all.csv", index=False)
        says(bank_node("score", tmp_path / "all.csv", "--out", tmp_path / "all-scores.csv", *home), 0)
        whole = pd.read_csv(tmp_path / "all-scores.csv")["fraud_probability"].to_numpy()
        np.testing.assert_array_equal(found["fraud_probability"], whole[(tables[0]["time"] >= DAY).to_numpy()])

        consortium.service.kill()
        until("HAS NOT ANSWERED", *home)
        consortium.service.start()
        until("running\nlast heard of", *home)

        consortium.nodes[0].stop()
        says(bank_node("status", *home), ExitCode.FAILED, "not running")
        says(bank_node("run", "--once", *home), 0)


def test_a_nightly_export_in_the_middle_of_a_training_holds_one_bank_until_its_rows_are_back(tmp_path):
    tables = [simulated_rows(number, 400, 3) for number in range(3)]
    plan = {
        "name": "trees",
        "learning": {"kind": "gbdt", "inputs": schema_of(3), "trees": 60, "max_depth": 3, "max_bin": 8},
        "deadlines": {"contribution_s": 300, "share_s": 300},
    }
    with ConsortiumOfNodes(tmp_path, tables) as consortium:
        training = consortium.start_training(plan)
        consortium.wait_for(training, lambda view: len(consortium.rounds(training)) > 5)
        node, path = consortium.nodes[0], tmp_path / "bank-0-transactions.parquet"
        node.stop()
        export = path.read_bytes()
        simulated_rows(77, 400, 3).to_parquet(path)
        node.start()
        held = consortium.wait_for(training, lambda view: "other ones" in json.dumps(view))
        assert held["state"] in {"running", "paused"}  # paused until the third bank is back, as three must be summed
        assert "put the file of that time back" in json.dumps(held)
        says(bank_node("status", "--home", node.home), 0, "rows with which this bank has accepted it", str(path))
        assert str(path) not in json.dumps(held)  # where it lies is the bank's own affair
        path.write_bytes(export)
        view = consortium.finish(training, timeout_s=300)
        assert {row["contributors"] for row in consortium.rounds(training)} == {3}
        (held_model,) = node.models()
        assert held_model["digest"] == view["model"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An enrolled bank with a model and a day's file; its service does not answer."""
    folder = tmp_path_factory.mktemp("bank")
    rows = transactions(1)
    rows.to_csv(folder / "transactions.csv", index=False)
    rows[rows["time"] >= DAY].to_csv(folder / "today.csv", index=False)
    return folder


@pytest.fixture
def bank(world, tmp_path):
    """The same in a home folder of this test's own, to be damaged."""
    home = enrolled_home(tmp_path / "home", world / "transactions.csv")
    train_alone(home, Plan.model_validate(PLAN))
    return home


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["enrol"], ExitCode.USAGE, "Missing option"),
        (["enrol", "--name", "b", "--token", "t" * 20, "--url", "ftp://x"], ExitCode.SETTINGS, "url"),
        (["enrol", "--name", "!", "--token", "t" * 20, "--url", "http://x"], ExitCode.SETTINGS, "name"),
        (["enrol", "--name", "b", "--token", "t", "--url", "http://x"], ExitCode.USAGE, "16 to 200 characters"),
        (["enrol", "--name", "b", "--token", "t" * 20, "--url", "http://x", "--data", "no"], ExitCode.USAGE, "'no'"),
        (
            ["enrol", "--name", "b", "--token", "t" * 20, "--url", "http://127.0.0.1:9"],
            ExitCode.UNREACHABLE,
            "check the address",
        ),
        (["run"], ExitCode.HOME, "bank-node enrol"),
        (["status"], ExitCode.HOME, "bank-node enrol"),
        (["models"], ExitCode.HOME, "--home or BANK_NODE_HOME"),
        (["keys", "show"], ExitCode.HOME, "no node is enrolled here"),
        (["ledger"], ExitCode.HOME, "no node is enrolled here"),
        (["score", "today.csv", "--out", "s.csv"], ExitCode.HOME, "no node is enrolled here"),
        (["policy", "check"], ExitCode.HOME, "no node is enrolled here"),
        (["policy", "show"], ExitCode.HOME, "no node is enrolled here"),
        (["score", "none.csv", "--out", "s.csv"], ExitCode.USAGE, "none.csv"),
        (["dance"], ExitCode.USAGE, "No such command"),
        (["--home", "x"], ExitCode.USAGE, "No such option"),
    ],
)
def test_nothing_is_enrolled_here(world, tmp_path, arguments, code, sentence):
    (tmp_path / "today.csv").write_bytes((world / "today.csv").read_bytes())
    says(bank_node(*arguments, folder=tmp_path), code, sentence)


@pytest.mark.parametrize(
    ("change", "code", "sentences"),
    [
        ({}, 0, ["would take part"]),
        ({"learning": {"kind": "gbtd"}}, ExitCode.REFUSED, ["learning.kind", "did you mean gbdt?"]),
        ({"learning": {"kind": "entity_tables"}}, ExitCode.REFUSED, ["learning.entities"]),
        ({"learning": {"kind": "gbdt"}}, ExitCode.REFUSED, ["learning.inputs", "correct the plan"]),
        ({"protection": {"level": "none"}}, ExitCode.REFUSED, ["allow_unprotected"]),
        ({"name": "not a name!"}, ExitCode.REFUSED, ["name: expected at most 63 of a-z"]),
        ({"surprise": 1}, ExitCode.REFUSED, ["surprise: there is no such field"]),
        ({"protecton": {}}, ExitCode.REFUSED, ["protecton: there is no such field; did you mean protection?"]),
        ({"features": PLAN["features"] | {"dataset": "transfers"}}, ExitCode.DATA, ["'transfers' in node.toml"]),
        ({"features": PLAN["features"] | {"amount": "sum"}}, ExitCode.DATA, ["column 'sum'"]),
        (
            {"learning": PLAN["learning"] | {"kind": "random_gbdt", "privacy": {"epsilon": 1}}},
            ExitCode.REFUSED,
            ["profile_windows_days", "counts a record once"],
        ),
    ],
)
def test_plans(bank, tmp_path, change, code, sentences):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN | change))
    done = bank_node("check-plan", tmp_path / "plan.json", "--home", bank.folder)
    says(done, code, *sentences)


def test_a_plan_that_is_no_json_or_no_file(bank, tmp_path):
    (tmp_path / "plan.json").write_bytes(b"\xff{")
    says(
        bank_node("check-plan", tmp_path / "plan.json", "--home", bank.folder),
        ExitCode.USAGE,
        "plan.json: expected JSON",
    )
    says(bank_node("check-plan", tmp_path, "--home", bank.folder), ExitCode.USAGE, "is a directory")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--model", "nobody"], ExitCode.MODEL, "a model's name (card-fraud)"),
        (["--model", "c"], ExitCode.MODEL, "at least 6 characters"),
        (["--id-column", "nobody"], ExitCode.DATA, "column 'nobody'"),
        (["--alerts", "lots"], ExitCode.USAGE, "such as 1%"),
        (["--out", "nowhere/s.csv"], ExitCode.USAGE, "there is no folder"),
        (["--out", "."], ExitCode.USAGE, "is a directory"),
    ],
)
def test_scoring_that_was_asked_for_wrongly(bank, world, tmp_path, arguments, code, sentence):
    out = [] if "--out" in arguments else ["--out", "s.csv"]
    done = bank_node("score", world / "today.csv", *out, *arguments, "--home", bank.folder, folder=tmp_path)
    says(done, code, sentence)
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("which", ["file", "dataset"])
def test_scores_are_not_written_over_the_rows_that_they_are_of(bank, world, tmp_path, which):
    file = tmp_path / "today.csv"
    file.write_bytes((world / "today.csv").read_bytes())
    [dataset] = load_settings(bank).datasets.values()
    out = {"file": file, "dataset": bank.folder / dataset.path}[which]
    before = out.read_bytes()
    done = bank_node("score", file, "--out", out, "--home", bank.folder, folder=tmp_path)
    says(done, ExitCode.USAGE, "this is the bank's own file")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        ("customer,time\n1,2026-02-20\n", ExitCode.DATA, "column 'amount'"),
        ("customer,time,amount\n1,soon,3\n", ExitCode.DATA, "column 'time'"),
        ("customer,time,amount\n1,2026-02-20,much\n", ExitCode.DATA, "column 'amount'"),
        ("customer,time,amount\n1,2026-02-20,inf\n", ExitCode.DATA, "column 'amount'"),
        ("", ExitCode.DATA, "expected a CSV file in UTF-8 with a header, separated by commas, got an empty file"),
        ("customer;time;amount\n1;2026-02-20;3,5\n", ExitCode.DATA, "got one that seems to be separated by semicolons"),
        (
            "customer,time,amount\n1,2026-02-20,3\n2,2026-02",
            ExitCode.DATA,
            "line 3: expected 3 fields as in the header, got 2",
        ),
        ("customer,time,amount\n", 0, "0 scores"),
    ],
)
def test_files_that_do_not_fit(bank, tmp_path, content, code, sentence):
    (tmp_path / "today.csv").write_text(content)
    done = bank_node("score", tmp_path / "today.csv", "--out", tmp_path / "s.csv", "--home", bank.folder)
    says(done, code, sentence)
    assert "much" not in done.stderr


def test_a_file_whose_format_nobody_can_tell(bank, tmp_path):
    (tmp_path / "today.xlsx").write_bytes(b"PK")
    done = bank_node("score", tmp_path / "today.xlsx", "--out", tmp_path / "s.csv", "--home", bank.folder)
    says(done, ExitCode.DATA, "set format to csv or parquet")


@pytest.mark.parametrize(
    ("file", "content", "arguments", "code", "sentence"),
    [
        ("status.json", b"{\xff", ["status"], ExitCode.FAILED, "not running"),
        ("status.json", b"[]", ["status", "--json"], ExitCode.FAILED, '"running": false'),
        ("identity.json", b"{", ["status"], ExitCode.HOME, "restore the home folder from a backup"),
        ("identity.json", b"\xff", ["keys", "show"], ExitCode.HOME, "identity.json"),
        ("keystore", b"nonsense", ["run", "--once"], ExitCode.KEYSTORE, "BANK_NODE_PASSPHRASE or key_file"),
        ("keystore.key", b"x" * 32, ["run", "--once"], ExitCode.KEYSTORE, "BANK_NODE_PASSPHRASE or key_file"),
        ("identity.sealed", b"x" * 99, ["run", "--once"], ExitCode.KEYSTORE, ""),
        ("node.toml", b"url = ", ["run", "--once"], ExitCode.SETTINGS, "node.toml: not TOML"),
        ("node.toml", b"\xff", ["run", "--once"], ExitCode.SETTINGS, "node.toml: not TOML"),
        ("node.toml", b'name = "b"\nthreds = 2\n', ["run"], ExitCode.SETTINGS, "threds"),
        ("policy.toml", b"min_contributors = 1\n", ["policy", "check"], ExitCode.SETTINGS, "min_contributors"),
        ("policy.toml", b"\xff", ["policy", "show"], ExitCode.SETTINGS, "policy.toml: not TOML"),
        ("ledger.json", b"{}", ["ledger"], ExitCode.HOME, "ledger.json"),
        ("banks.json", b"\xff", ["banks"], ExitCode.HOME, "banks.json"),
        ("models/current.json", b"[", ["models"], ExitCode.HOME, "current.json"),
    ],
)
def test_damaged_files(bank, file, content, arguments, code, sentence):
    (bank.folder / file).write_bytes(content)
    says(bank_node(*arguments, "--home", bank.folder), code, sentence)


def test_a_variable_with_a_typing_error_and_one_that_is_right(bank):
    says(bank_node("run", "--once", BANK_NODE_HOME=str(bank.folder), BANK_NODE_THREDS="3"), ExitCode.SETTINGS,
         "BANK_NODE_THREDS", "did you mean BANK_NODE_THREADS?")  # fmt: skip
    says(bank_node("models", BANK_NODE_HOME=str(bank.folder)), 0, "card-fraud")


def test_a_bank_that_is_enrolled_enrols_no_second_time(bank):
    done = bank_node(
        "enrol", "--url", "http://127.0.0.1:9", "--name", "bank-b", "--token", "t" * 20, "--home", bank.folder
    )
    says(done, ExitCode.HOME, "already enrolled as 'bank-a'", "use another --home")


def test_an_agent_whose_service_does_not_answer_waits_and_ends_when_told(bank):
    with subprocess.Popen(
        [*NODE, "run", "--home", str(bank.folder)], env=clean_environment(), stderr=subprocess.PIPE
    ) as process:  # fmt: skip
        started, said = process.stderr.readline(), process.stderr.readline()
        process.terminate()
        rest = process.stderr.read()
    assert process.returncode == 0
    assert b"agent:running" in started
    assert b"retry" in said
    assert b"Traceback" not in said + rest
