"""Why a node refuses or fails. Every class names what it expected and got, so that a program can act on it, and says
what to do, so that a person can.
"""

from __future__ import annotations

from protocol.problems import Problem


class NodeError(Exception):
    """Root of all errors of this package. Its text may be told to the operator.

    Attributes:
        only_here: what beside it is for the bank's own people alone, and is never sent.
    """

    only_here: str = ""

    def in_full(self) -> str:
        """The sentence for the bank's own terminal, status and log."""
        return f"{self}; {self.only_here}" if self.only_here else str(self)


class Refused(NodeError):  # the house's word for a refused act
    """The node will not do what it was asked.

    Attributes:
        where: what it was asked about, e.g. a plan or a round of a training.
        expected: what it would do.
        got: what it was asked.
    """

    def __init__(self, where: str, *, expected: str, got: str, advice: str = "", only_here: str = "") -> None:
        super().__init__(f"{where}: expected {expected}, got {got}" + (f"; {advice}" if advice else ""))
        self.only_here = only_here
        self.where = where
        self.expected = expected
        self.got = got


class PolicyRefused(Refused):
    """The bank's own policy says no; no service can override it.

    Attributes:
        rule: name of the policy's setting that refuses.
    """

    def __init__(
        self, rule: str, where: str, *, expected: str, got: str, advice: str = "", only_here: str = ""
    ) -> None:
        decides = f"the bank's policy setting {rule!r} decides"
        advice = f"{decides}; {advice}" if advice else decides
        super().__init__(where, expected=expected, got=got, advice=advice, only_here=only_here)
        self.rule = rule


class BudgetExhausted(PolicyRefused):
    """The plan's privacy cost does not fit into what the bank has left."""


class UnlistedBank(PolicyRefused):
    """A roster names a bank that is not in the policy's table of banks, or has another key there.

    Attributes:
        bank: the name that the roster gives it.
    """

    def __init__(self, where: str, *, bank: str, expected: str, got: str) -> None:
        advice = f"ask {bank} itself, by telephone or letter, for its fingerprint before you change the table"
        super().__init__("banks", where, expected=expected, got=got, advice=advice)
        self.bank = bank


#: Advice where node.toml can help.
SEE_SETTINGS = "see the dataset's settings in node.toml"


class DataUnfit(Refused):
    """The bank's table does not have what the plan asks for.

    Attributes:
        column: the column at fault, or None if it is the table.
    """

    def __init__(
        self, where: str, *, column: str | None, expected: str, got: str, advice: str = "", only_here: str = ""
    ) -> None:
        at = where if column is None else f"{where}, column {column!r}"
        super().__init__(at, expected=expected, got=got, advice=advice, only_here=only_here)
        self.column = column


class DataChanged(DataUnfit):
    """The rows are not those with which the bank has accepted the training."""

    def __init__(self, where: str, *, expected: str, got: str, only_here: str) -> None:
        advice = (
            "put the file of that time back, and this bank goes on; otherwise it takes no further part in this "
            "training, and the next one takes the new rows"
        )
        super().__init__(where, column=None, expected=expected, got=got, advice=advice, only_here=only_here)


class PlanInvalid(Refused):
    """A plan that says nothing which a node could do.

    Attributes:
        field: the field at fault.
    """

    def __init__(self, where: str, *, field: str, said: str) -> None:
        advice = "the operator must correct the plan"
        super().__init__(where, expected="a plan that can be carried out", got=f"{field}: {said}", advice=advice)
        self.field = field


class ModelUnfit(Refused):
    """No model on this node is the one that was asked for, or it does not score."""


class OutputUnusable(NodeError):
    """Where the output was to go it can not be written; known before the work begins."""


class RosterChanged(Refused):
    """The roster is not the one that was pinned, or not what the plan and the acceptances make it."""


class DealRefused(Refused):
    """What a dealer has sealed to this bank does not open, or does not match what the dealer has committed to.

    The dealer's doing, or its machine's: this bank gives no receipt, and is ready for the ceremony without that dealer.

    Attributes:
        dealer: the node that dealt.
    """

    def __init__(self, where: str, *, dealer: str, name: str, expected: str, got: str) -> None:
        advice = "the ceremony can begin again without this dealer"
        super().__init__(f"{where}, deal of {name} ({dealer})", expected=expected, got=got, advice=advice)
        self.dealer = dealer


class LogForked(Refused):
    """The service tells this bank another past than the one that the bank has seen."""


class SecondContributorSet(Refused):
    """A share was asked for another contributor set than the one that this bank has answered for in the round."""


class ContributionLost(Refused):
    """This round's contribution has left, but its bytes are gone: a second one must never be made."""


class KeysLost(Refused):
    """The training's keys are not on this node: destroyed, or made on another home folder."""


class Halted(Refused):
    """This bank goes no further in the training than to its end."""

    def __init__(self, reason: str) -> None:
        super().__init__("training", expected="its end", got="work after this bank has halted", advice=reason)


class StaleWork(Refused):
    """The service asked for something that is over; nothing is wrong, the node asks again."""


class ServiceRefused(NodeError):
    """The service answered with a problem that asking again does not solve.

    Attributes:
        problem: the RFC 9457 document.
    """

    def __init__(self, what: str, problem: Problem) -> None:
        super().__init__(f"{what}: the service refuses: {problem.title} ({problem.status}): {problem.detail}")
        self.problem = problem


class AnswerUnfit(NodeError):
    """An answer that is too large, or packed: it was not read to its end.

    Attributes:
        expected: what the node reads.
        got: what the answer is.
    """

    def __init__(self, what: str, *, expected: str, got: str, advice: str) -> None:
        super().__init__(f"{what}: expected {expected}, got {got}; {advice}")
        self.expected = expected
        self.got = got


class ServiceUnreachable(NodeError):
    """No answer from the service, and the caller did not want to wait any longer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"service at {url}: no usable answer ({reason}); check the address and the network")
        self.url = url


class Stopped(NodeError):
    """The node was told to stop while it waited."""

    def __init__(self) -> None:
        super().__init__("the node was told to stop")


class HomeUnusable(NodeError):
    """The home folder is missing, not enrolled, damaged or in use.

    Attributes:
        path: the file or folder at fault.
    """

    def __init__(self, path: object, what: str, advice: str) -> None:
        super().__init__(f"{path}: {what}; {advice}")
        self.path = str(path)


class AlreadyRunning(HomeUnusable):
    """Another agent works in this home folder."""


class SettingsInvalid(NodeError):
    """A settings file or an environment variable does not say what it should; names every field at fault."""


class TokenMalformed(NodeError):
    """What was given as an enrolment token can be none. The sentence says its length, never the token."""

    def __init__(self, *, expected: str, got: str) -> None:
        super().__init__(f"--token: expected {expected}, got {got}; ask the operator for a new invitation")
        self.expected = expected
        self.got = got


class KeystoreLocked(NodeError):
    """The keystore does not open with the passphrase or key file given."""
