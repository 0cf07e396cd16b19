"""Why a node refuses or fails. Every class names what it expected and got, so that a program can act on it, and says
what to do, so that a person can.
"""

from __future__ import annotations

from protocol.problems import Problem


class NodeError(Exception):
    """Root of all errors of this package."""


class Refused(NodeError):  # the house's word for a refused act
    """The node will not do what it was asked.

    Attributes:
        where: what it was asked about, e.g. a plan or a round of a training.
        expected: what it would do.
        got: what it was asked.
    """

    def __init__(self, where: str, *, expected: str, got: str, advice: str = "") -> None:
        super().__init__(f"{where}: expected {expected}, got {got}" + (f"; {advice}" if advice else ""))
        self.where = where
        self.expected = expected
        self.got = got


class PolicyRefused(Refused):
    """The bank's own policy says no; no service can override it.

    Attributes:
        rule: name of the policy's setting that refuses.
    """

    def __init__(self, rule: str, where: str, *, expected: str, got: str) -> None:
        super().__init__(where, expected=expected, got=got, advice=f"the bank's policy setting {rule!r} decides")
        self.rule = rule


class BudgetExhausted(PolicyRefused):
    """The plan's privacy cost does not fit into what the bank has left."""


class DataUnfit(Refused):
    """The bank's table does not have what the plan asks for.

    Attributes:
        column: the column at fault, or None if it is the table.
    """

    def __init__(self, where: str, *, column: str | None, expected: str, got: str) -> None:
        at = where if column is None else f"{where}, column {column!r}"
        super().__init__(at, expected=expected, got=got, advice="see the dataset's settings in node.toml")
        self.column = column


class RosterChanged(Refused):
    """The roster is not the one that was pinned, or not what the plan and the acceptances make it."""


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
