from click.testing import CliRunner

from bank_node.cli import main
from bank_node.durable import Disk
from bank_node.status import NodeStatus, StatusBoard, trainings_before
from tests.common.enrolled_home import enrolled_home


def board_of(path, **status):
    return StatusBoard(path, Disk(), NodeStatus(node="a", **status))


def test_trainings_are_still_shown_after_a_restart_but_not_another_nodes(tmp_path):
    path = tmp_path / "status.json"
    assert trainings_before(path, "a") == {}
    board = board_of(path)
    board.training("one").state = "completed"
    board.write(at_once=True)
    assert trainings_before(path, "a") == board.status.trainings
    assert trainings_before(path, "b") == {}


def test_the_oldest_trainings_that_are_over_make_place_and_those_under_way_never_do(tmp_path):
    board = board_of(tmp_path / "status.json")
    board.training("under-way").state = "running"
    for number in range(200):
        board.training(f"{number}").state = "refused" if number % 2 else "failed"
    kept = list(board.status.trainings)
    assert kept[0] == "under-way"
    assert kept[1:] == [str(number) for number in range(150, 200)]


def test_why_a_node_stopped_by_itself_and_what_came_last_are_said_first_and_once(tmp_path):
    board = board_of(
        enrolled_home(tmp_path).status, name="b", stopped=True, stopped_by="the service knows no such node"
    )
    for number in range(2):
        seen = board.training(f"{number}")
        seen.state, seen.complaint, seen.reason = "failed", "too few rows", "bank-b: too few rows"
    board.write(at_once=True)
    said = CliRunner().invoke(main, ["status", "--home", str(tmp_path)]).output.splitlines()
    assert "it stopped by itself: the service knows no such node" in said
    assert [line.strip() for line in said[-4:]] == [
        "1: failed, 0 rounds", "bank-b: too few rows", "0: failed, 0 rounds", "bank-b: too few rows",
    ]  # fmt: skip


def test_every_answer_counts_as_a_word_of_the_service(tmp_path):
    board = board_of(tmp_path / "status.json")
    assert board.status.last_contact_at_s is None
    board.unanswered("timed out")
    assert board.status.last_contact_at_s is None
    board.unanswered(None)
    assert board.status.last_contact_at_s is not None
