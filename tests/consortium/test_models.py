"""Which model is in force: the record of promotions and rollbacks, replayed, against a stack kept by hand."""

from __future__ import annotations

import pytest
from sqlalchemy import event, select

from consortium.db import Database
from consortium.models import service
from consortium.models.errors import ModelAmbiguous, ModelMissing, NothingToRollBack
from consortium.models.tables import PromotionRow
from consortium.trainings.tables import Training
from protocol.ids import sha256_hex

NAME = "fraud"


def digest_of(letter: str) -> str:
    return sha256_hex(letter.encode())


def release(s, letter: str, *, name: str = NAME, made: str = "", at: float = 0.0) -> str:
    """A completed training and its released model; the training's id."""
    training = f"{name}-{letter}"
    s.add(
        Training(
            id=training, plan_name=name, plan_digest="0" * 64, plan_json="{}", state="completed", reason="",
            created_at=0.0, created_by="test", progress={},
        )
    )  # fmt: skip
    s.flush()
    digest = digest_of(made or letter)
    service.release(s, training=training, name=name, digest=digest, blob=f"models/{digest}", sha256=digest, now=at)
    return training


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'consortium.db'}")
    database.create()
    with database.transaction("test.release") as s:
        for at, letter in enumerate("ABCD"):
            release(s, letter, at=at)
    yield database
    database.close()


def act(database: Database, what: str) -> str:
    """Promotes a letter's model, rolls back for `<` or withdraws for `-`; the letter that is in force then, `-` for
    none, or `!` for a refusal.
    """
    try:
        with database.transaction("test.act") as s:
            if what == "<":
                return service.rollback(s, NAME, by="test", now=0.0).training[-1]
            if what == "-":
                service.withdraw(s, NAME, by="test", now=0.0)
                return "-"
            return service.promote(s, digest_of(what), by="test", now=0.0).training[-1]
    except (NothingToRollBack, ModelMissing):
        return "!"


@pytest.mark.parametrize(
    ("acts", "in_force"),
    [
        ("ABC<<<", "ABCBA!"),  # back step by step, and never forward again
        ("AB<C<", "ABACA"),  # what was withdrawn does not come back
        ("AB<B<", "ABABA"),  # unless somebody promotes it again
        ("ABA<<", "ABABA"),
        ("AA<", "AA!"),  # promoted twice is promoted once
        ("AB<<C<", "ABA!CA"),  # a refusal changes nothing
        ("ABCD<<C<<", "ABCDCBCBA"),
        ("A-B<", "A-B!"),  # a rollback never reaches behind a withdrawal
        ("AB-<-A<", "AB-!-A!"),
        ("-A<-", "-A!-"),  # before anything is promoted
    ],
)
def test_a_rollback_takes_back_the_last_promotion_that_still_stands(database, acts, in_force):
    for what, expected in zip(acts, in_force, strict=True):
        assert act(database, what) == expected
        with database.reading("test.look") as s:
            current = service.in_force(s, NAME)
            if current is None:
                assert expected in {"!", "-"}
                assert service.digests_in_force(s) == {NAME: None}
                assert not any(shown for _, shown in service.list_models(s))
                continue
            assert expected in {"!", current[-1]}
            assert service.digests_in_force(s) == {NAME: digest_of(current[-1])}
            assert [row.training for row, shown in service.list_models(s) if shown] == [current]
            assert service.find_model(s, NAME).training == current


def test_the_same_model_of_another_training_is_in_force_already(database):
    assert act(database, "A") + act(database, "B") == "AB"
    with database.transaction("test.release") as s:
        again = release(s, "E", made="B", at=9.0)
    for named in (again, digest_of("B")):
        with database.transaction("test.act") as s:
            assert service.promote(s, named, by="test", now=0.0).training == "fraud-B"
    assert act(database, "<") == "A"  # and not the same bytes once more


def test_a_name_means_nothing_until_a_model_is_promoted(database):
    with database.reading("test.look") as s:
        with pytest.raises(ModelMissing, match=r"none is in force; released: .*--digest DIGEST"):
            service.find_model(s, NAME)
        assert service.digests_in_force(s) == {}
        row, current = service.find_for_card(s, NAME)  # the newest one's card is read before it is promoted
        assert (row.training, current) == ("fraud-D", False)
        assert service.find_model(s, digest_of("B")).training == service.find_model(s, "fraud-B").training == "fraud-B"
    with database.transaction("test.act") as s, pytest.raises(ModelMissing, match="none is in force"):
        service.rollback(s, NAME, by="test", now=0.0)


def test_a_withdrawal_names_the_model_once_and_says_who_did_it(database):
    act(database, "B")
    for by in ("ann", "bob"):  # again does nothing
        with database.transaction("test.act") as s:
            assert service.withdraw(s, NAME, by=by, now=7.0).training == "fraud-B"
    with database.reading("test.look") as s:
        log = list(s.scalars(select(PromotionRow).order_by(PromotionRow.id)))
        assert [(row.act, row.training, row.by) for row in log] == [
            ("promote", "fraud-B", "test"), ("withdraw", "fraud-B", "ann"),
        ]  # fmt: skip
    with database.transaction("test.act") as s:
        with pytest.raises(ModelMissing, match="there is none"):
            service.withdraw(s, "nobody", by="test", now=0.0)
        with pytest.raises(ModelMissing, match="expected a name, got a model of fraud"):
            service.withdraw(s, "fraud-B", by="test", now=0.0)


def test_only_a_digest_or_a_training_says_what_to_promote(database):
    with database.transaction("test.act") as s:
        with pytest.raises(ModelMissing, match="expected the digest or the training of one, got a name"):
            service.promote(s, NAME, by="test", now=0.0)
        with pytest.raises(ModelMissing, match="there is none"):
            service.promote(s, "0" * 64, by="test", now=0.0)
        release(s, "E", name="other", made="A")
        s.flush()
        with pytest.raises(ModelAmbiguous, match="one released as fraud and as other; name its training"):
            service.promote(s, digest_of("A"), by="test", now=0.0)
        assert service.promote(s, "other-E", by="test", now=0.0).name == "other"


def test_the_list_of_models_takes_as_many_queries_for_many_names_as_for_one(database):
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

    def queries() -> int:
        statements.clear()
        with database.reading("test.list") as s:
            service.list_models(s)
        return len(statements)

    one = queries()
    with database.transaction("test.release") as s:
        for letter in "EFGH":
            service.promote(s, release(s, letter, name=f"name-{letter.lower()}"), by="test", now=0.0)
    assert queries() == one


def test_the_versions_in_the_record_are_those_of_the_release(database, monkeypatch):
    monkeypatch.setattr(service, "versions", lambda: {"fraud-consortium": "9.9"})  # the service is upgraded
    with database.transaction("test.release") as s:
        service.release(s, training="fraud-A", name=NAME, digest="x", blob="x", sha256="x", now=9.0)  # again
        assert service.find_model(s, "fraud-A").software["fraud-consortium"] != "9.9"
