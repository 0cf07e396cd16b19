"""`bank-node enrol` as an admin runs it, against a service over HTTP: from any folder, and again after a mistake."""

import json
import subprocess
import tomllib
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from bank_node.errors import SettingsInvalid
from bank_node.home import Home
from bank_node.settings import DatasetSettings, NodeSettings, load_settings
from bank_node.vault import Vault
from consortium.members.service import invite
from protocol.messages import EnrolmentRequest
from tests.common.http_service import served
from tests.common.nodes import NODE
from tests.common.processes import clean_environment
from tests.common.tables_learning import build

pytestmark = pytest.mark.server


@pytest.fixture
def service(tmp_path):
    """A service's address, and what invites a bank to it."""
    with served(tmp_path / "service", build) as (runtime, url):

        def token(name):
            with runtime.act("test.invite") as (s, _, now):
                return invite(s, name=name, by="test", lifetime_s=600, now=now)[1]

        yield url, token


@pytest.fixture
def bank(tmp_path):
    """Runs `bank-node` in the bank's own working directory."""
    folder = tmp_path / "bank"
    folder.mkdir()

    def run(*arguments, **environment):
        done = subprocess.run(
            [*NODE, *arguments], cwd=folder, env=clean_environment(**environment), capture_output=True, timeout=120,
            check=False, text=True,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    run.folder = folder
    return run


@contextmanager
def working_in(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.mark.parametrize("home", [(), ("--home", "node"), ("--home", "deep/down/node")])
def test_a_home_counts_from_the_working_directory(service, bank, home):
    url, token = service
    done = bank("enrol", "--url", url, "--name", "bank-a", "--token", token("bank-a"), *home)
    assert done.returncode == 0, done.stderr
    folder = bank.folder / (home[1] if home else "bank-node")
    assert {"node.toml", "policy.toml", "identity.json", "keystore", "keystore.key"} <= {
        path.name for path in folder.iterdir()
    }
    assert bank("models", *home).returncode == 0
    assert bank("keys", "show", *home).returncode == 0


def test_a_key_file_of_the_settings_counts_from_the_home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    settings = NodeSettings(url="http://consortium.test", name="bank-a", key_file="own.key")
    with working_in(tmp_path, monkeypatch):
        home = Home(next(tmp_path.glob("home")).relative_to(tmp_path))
        sealed = Vault.open(home, settings, create=True).seal(b"secret")
    assert (tmp_path / "home" / "own.key").exists()
    assert Vault.open(Home(tmp_path / "home"), settings).unseal(sealed) == b"secret"


def test_what_a_failed_attempt_was_told_is_forgotten(service, bank):
    url, token = service
    right = token("bank-a")
    (bank.folder / "rows.csv").write_text("amount\n1\n")
    wrong_name = bank("enrol", "--url", url, "--name", "bank-b", "--token", right)
    assert wrong_name.returncode == 7
    nobody = bank("enrol", "--url", "http://127.0.0.1:9", "--name", "bank-a", "--token", right)
    assert nobody.returncode == 6
    done = bank("enrol", "--url", url, "--name", "bank-a", "--token", right, "--data", "rows.csv")
    assert done.returncode == 0, done.stderr
    written = tomllib.loads((bank.folder / "bank-node" / "node.toml").read_text())
    assert (written["url"], written["name"]) == (url, "bank-a")
    assert written["datasets"]["transactions"]["path"] == str(bank.folder / "rows.csv")


@pytest.mark.parametrize(
    ("text", "said", "columns"),
    [("amount,fraud\n1,0\n", "dataset 'rows' has 2 columns: amount, fraud", ["amount", "fraud"]),
     ("amount;fraud\n1;0\n", "warning: dataset 'rows': expected a CSV file", None)],
)  # fmt: skip
def test_a_first_dataset_is_looked_at(service, bank, text, said, columns):
    url, token = service
    (bank.folder / "rows.csv").write_text(text)
    for name, options in {"people": [], "programs": ["--json"]}.items():
        done = bank(
            "enrol", "--url", url, "--name", name, "--token", token(name), "--data", "rows.csv", "--dataset", "rows",
            "--home", name, *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if options:
            assert json.loads(done.stdout)["columns"] == columns
        else:
            assert said in done.stdout + done.stderr


def test_settings_written_by_hand_before_are_used_and_must_not_say_something_else(service, bank):
    url, token = service
    (bank.folder / "bank-node").mkdir()
    settings = bank.folder / "bank-node" / "node.toml"
    settings.write_text('name = "bank-b"\nthreads = 2\n')
    arguments = ("enrol", "--url", url, "--name", "bank-a", "--token", token("bank-a"))
    done = bank(*arguments)
    assert done.returncode == 3
    assert "name: expected 'bank-a' as in the command, got 'bank-b'" in done.stderr
    settings.write_text(f'url = "{url}"\nname = "bank-a"\nthreads = 2\n')
    done = bank(*arguments, "--data", __file__)
    assert done.returncode == 3
    assert "datasets.transactions.path" in done.stderr
    assert bank(*arguments).returncode == 0
    assert load_settings(Home(bank.folder / "bank-node")).threads == 2


@pytest.mark.parametrize("token", ["fce_secret", "x" * 201])
def test_a_token_that_can_be_none_is_refused_before_anything_is_made_and_never_shown(bank, token):
    done = bank("enrol", "--url", "http://127.0.0.1:9", "--name", "bank-a", "--token", token)
    assert done.returncode == 2
    assert "expected 16 to 200 characters" in done.stderr
    assert token not in done.stdout + done.stderr
    assert not (bank.folder / "bank-node").exists()
    with pytest.raises(ValidationError) as caught:
        EnrolmentRequest(token=token, enrolment={})
    assert token not in str(caught.value)


def test_an_address_that_is_none_is_said_before_the_token_is_looked_at(bank):
    done = bank("enrol", "--url", "consortium.example", "--name", "bank-a", "--token", "short")
    assert done.returncode == 3
    assert "url: expected an address that begins with http:// or https://" in done.stderr
    assert not (bank.folder / "bank-node").exists()


def test_a_setting_that_is_misspelt_in_the_file_is_named_with_what_was_meant(tmp_path):
    (tmp_path / "node.toml").write_text('url = "http://127.0.0.1"\nname = "a"\n[datasets.rows]\npaht = "a.csv"\n')
    with pytest.raises(SettingsInvalid, match="paht: there is no such setting; did you mean path"):
        load_settings(Home(tmp_path))


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("BANK_NODE_THREDS", "did you mean BANK_NODE_THREADS"),
        ("bank_node_log_levle", "did you mean BANK_NODE_LOG_LEVEL"),
        ("BANK_NODE_DATASET__TRANSACTIONS__PATH", "BANK_NODE_DATASETS"),
        ("BANK_NODE_THREADS__MANY", "no such setting"),
        ("BANK_NODE_XYZZY_QUUX", "expected one of BANK_NODE_CA_FILE"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_and_not_passed_over(bank, variable, said):
    done = bank("enrol", "--url", "http://127.0.0.1:9", "--name", "bank-a", "--token", "x" * 20, **{variable: "3"})
    assert done.returncode == 3
    assert variable in done.stderr
    assert said in done.stderr


def test_every_setting_can_be_a_variable(tmp_path, monkeypatch):
    for name in ("BANK_NODE_HOME", "BANK_NODE_TOKEN"):
        monkeypatch.setenv(name, "of a command")
    monkeypatch.setenv("BANK_NODE_THREADS", "3")
    monkeypatch.setenv("BANK_NODE_DATASETS__TRANSACTIONS__PATH", "rows.csv")
    settings = load_settings(Home(tmp_path), url="http://consortium.test", name="bank-a")
    assert settings.threads == 3
    assert settings.datasets == {"transactions": DatasetSettings(path="rows.csv")}
