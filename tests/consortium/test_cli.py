"""What every command says of itself, and how answers are shown on a terminal and in a pipe."""

from __future__ import annotations

import io

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from consortium.cli import main, show, watching
from consortium.settings import Settings

TRAINING = "3f0d1c2e-0000-4000-8000-000000000000"


def commands(group=main, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands())


def test_every_command_is_here():
    assert len(ALL) > 20
    assert ("storage", "sweep") in ALL


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_help_is_readable_and_has_an_example(path):
    shown = CliRunner().invoke(main, [*path, "--help"], terminal_width=100)
    assert shown.exit_code == 0
    assert "\\" not in shown.output
    assert "\b" not in shown.output
    lines = [line.strip() for line in shown.output.splitlines()]
    if path:
        example = lines.index("Example:")
        assert f"consortium {' '.join(path)}" in lines[example + 1]
    else:
        assert any(line.startswith("Train:") for line in lines)


@pytest.mark.parametrize("path", [path for path in ALL if path not in {("serve",), ("worker",)}], ids=" ".join)
def test_every_command_that_ends_by_itself_has_json(path):
    assert "--json" in CliRunner().invoke(main, [*path, "--help"]).output


def shown_on(monkeypatch, *, terminal):
    out = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=out, force_terminal=terminal, width=80))
    rows = [[TRAINING, "fraud-2026", "paused", "a long reason [with brackets] that does not fit into the line\nat all"]]
    show.show_table("Trainings", ["id", "plan", "state", "reason"], rows)
    return out.getvalue()


def test_in_a_pipe_a_row_is_a_line_with_tabs(monkeypatch, capsys):
    shown_on(monkeypatch, terminal=False)
    names, row = capsys.readouterr().out.splitlines()
    assert names.split("\t") == ["id", "plan", "state", "reason"]
    assert row.split("\t")[0] == TRAINING
    assert row.split("\t")[3] == "a long reason [with brackets] that does not fit into the line at all"


def test_on_a_terminal_of_80_columns_an_id_stands_in_one_line_and_brackets_are_shown(monkeypatch):
    out = shown_on(monkeypatch, terminal=True)
    assert TRAINING in out
    assert "[with" in out


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONSORTIUM_THREDS", "3", "did you mean CONSORTIUM_THREADS?"),
        ("CONSORTIUM_PORT", "99999", "CONSORTIUM_PORT: expected less than or equal to 65535, got '99999'"),
        ("CONSORTIUM_PORT", "abc", "CONSORTIUM_PORT: expected a whole number, got 'abc'"),
        ("CONSORTIUM_NAME", "The Banks", "CONSORTIUM_NAME: expected at most 63 of a-z, 0-9, '.', '_' and '-'"),
        ("CONSORTIUM_LOG_LEVEL", "loud", "expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR', got 'loud'"),
    ],
)
def test_a_setting_that_is_none_or_wrong_is_said(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    refused = CliRunner().invoke(main, ["db", "upgrade"])
    assert refused.exit_code == 2
    assert said in refused.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "abc"), "'--port': expected a whole number in the range 0<=x<=65535, got 'abc'"),
        (("worker", "--concurrency", "1.5"), "'--concurrency': expected a whole number in the range 1<=x<=256"),
        (("node", "invite", "a", "--days", "week"), "'--days': expected a number in the range 0<x<=90, got 'week'"),
        (("token", "create", "Ops!"), "'NAME': expected at most 63 of a-z, 0-9, '.', '_' and '-', the first a letter"),
    ],
)
def test_a_value_that_is_none_is_refused_with_what_would_be_accepted(arguments, said):
    refused = CliRunner().invoke(main, list(arguments))
    assert refused.exit_code == 2
    assert said in refused.output


def test_what_the_command_line_reads_itself_is_no_unknown_setting(monkeypatch):
    monkeypatch.setenv("CONSORTIUM_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CONSORTIUM_TOKEN", "fco_x")
    assert Settings().port == 8440


def view_of(**changes):
    banks = [
        {"name": name, "answer": answer, "on_roster": False, "away_since": None}
        for name, answer in (("bank-a", "accepted"), ("bank-b", "pending"))
    ]
    view = {
        "state": "inviting", "reason": "", "protection": "ckks", "rounds_done": 0, "rounds_expected": None,
        "current": None, "metrics": {}, "seconds_left": None, "banks": banks,
    }  # fmt: skip
    return view | changes


@pytest.fixture
def watched(monkeypatch, capsys):
    """The lines that are printed for these views of a training, one after the other."""

    def lines_of(views):
        class Views:
            def get(self, path):
                return views.pop(0)

            def get_patiently(self, path, said, **query):
                return views.pop(0)

        monkeypatch.setattr(watching, "console", Console(file=io.StringIO(), force_terminal=False))
        watching.watch(Views(), "training", silent=False)
        return capsys.readouterr().err.splitlines()

    return lines_of


def test_who_watches_is_told_that_no_worker_runs(watched):
    current = {"query": "rows", "state": "collecting", "answered": 1, "expected": 2, "shares": (0, 0)}
    banks = [current, current, {**current, "answered": 2}]
    workers = [{**current, "answered": 2}, {**current, "state": "decrypting", "shares": (1, 2)}]
    workers += [{**current, "state": "decrypting", "shares": (2, 2)}] * 2
    rounds = [one and one | {"seconds": {"collecting": at}} for at, one in enumerate((*banks, *workers, None, None))]
    views = [view_of(state="running", current=one) for one in rounds]
    views.append(view_of(state="completed"))
    told = [line.startswith("no bank is waited for") for line in watched(views)]
    assert told == [False, True, False, True, False, True, False]


def test_a_line_for_every_bank_that_answers_and_none_twice(watched):
    views = [view_of(), view_of(), view_of(banks=[{**bank, "answer": "accepted"} for bank in view_of()["banks"]])]
    views.append(view_of(state="completed"))
    assert watched(views) == [
        "round 0 · inviting · 1 of 2 banks have answered",
        "round 0 · inviting · 2 of 2 banks have answered",
        "round 0 · completed",
    ]
