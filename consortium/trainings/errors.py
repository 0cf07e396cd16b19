"""What can be wrong with a step of a training or of a round."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class StepRefused(ConsortiumError):
    """Root of the refusals of this subject: where, what was expected, what came.

    Attributes:
        where: which training, round or message.
        expected: what it should have been.
        got: what it was.
    """

    def __init__(self, where: str, *, expected: str, got: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}")
        self.where = where
        self.expected = expected
        self.got = got


class TrainingMissing(ConsortiumError):
    """There is no training with this id."""

    def __init__(self, training: str) -> None:
        super().__init__(f"training {training}: there is none with this id; `consortium training list` shows all")
        self.training = training


class TrainingMoved(StepRefused):
    """Somebody else moved the training on first; asking again helps."""


class WrongState(StepRefused):
    """Not possible in the present state."""


class WrongRound(StepRefused):
    """For another round, assignment or attempt."""


class TooLate(StepRefused):
    """The contributor set is fixed, or the assignment was given to another."""


class NotOnRoster(StepRefused):
    """The bank takes no part in this training."""


class HistoryForked(StepRefused):
    """The bank has seen another past than the service."""


class BodyMismatch(StepRefused):
    """A statement of other bytes, or of something else than what it was sent for: sending it again does not help."""


class MutationForbidden(StepRefused):
    """Something else was accepted here before."""


class TooFewBanks(StepRefused):
    """Fewer banks than the plan's quorum."""


class ContributionMalformed(StepRefused):
    """A contribution that does not validate."""


class ShareMalformed(StepRefused):
    """A decryption share that does not validate."""


class StoredShareMalformed(ShareMalformed):
    """A large share that was taken on the word of its header, and turns out to be none.

    Attributes:
        node: who signed it.
        number: of its assignment.
    """

    def __init__(self, where: str, *, node: str, number: int, expected: str, got: str) -> None:
        super().__init__(where, expected=expected, got=got)
        self.node = node
        self.number = number


class SumsDiffer(StepRefused):
    """Two sets of shares open one sum differently.

    Attributes:
        suspects: the committee members of whom one has answered wrongly.
    """

    def __init__(self, where: str, *, expected: str, got: str, suspects: tuple[str, ...]) -> None:
        super().__init__(where, expected=expected, got=got)
        self.suspects = suspects
