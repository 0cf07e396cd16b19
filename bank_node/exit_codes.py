"""The exit codes of `bank-node`, each with its sentence; `docs/node.md` has the same table."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from bank_node.errors import (
    AlreadyRunning,
    AnswerUnfit,
    DataUnfit,
    HomeUnusable,
    KeystoreLocked,
    LogForked,
    ModelUnfit,
    NodeError,
    OutputUnusable,
    Refused,
    ServiceRefused,
    ServiceUnreachable,
    SettingsInvalid,
    TokenMalformed,
)


class ExitCode(IntEnum):
    """What a script can act on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 3
    HOME = 4
    KEYSTORE = 5
    UNREACHABLE = 6
    SERVICE_REFUSED = 7
    REFUSED = 8
    DATA = 9
    FORKED = 10
    ALREADY_RUNNING = 11
    MODEL = 12
    INTERRUPTED = 130


HELP: MappingProxyType[ExitCode, str] = MappingProxyType(
    {
        ExitCode.OK: "Done.",
        ExitCode.FAILED: "Something unforeseen went wrong; the message says what.",
        ExitCode.USAGE: "The command line is wrong; see --help.",
        ExitCode.SETTINGS: "A setting in node.toml, policy.toml or the environment is wrong; the message names it.",
        ExitCode.HOME: "The home folder is missing, not enrolled, or damaged.",
        ExitCode.KEYSTORE: "The keystore does not open: wrong passphrase or key file.",
        ExitCode.UNREACHABLE: "The service does not answer.",
        ExitCode.SERVICE_REFUSED: "The service refuses the request, or answers unusably; the message says why.",
        ExitCode.REFUSED: "The bank's own policy, or a check of the protocol, refuses.",
        ExitCode.DATA: "The bank's data do not fit; the message names the column.",
        ExitCode.FORKED: "The service told this bank another past than the one it has seen: a training was halted.",
        ExitCode.ALREADY_RUNNING: "Another agent works in this home folder.",
        ExitCode.MODEL: "There is no such model on this node, or it does not score.",
        ExitCode.INTERRUPTED: "Interrupted from the keyboard.",
    }
)

_BY_ERROR: tuple[tuple[type[NodeError], ExitCode], ...] = (
    # The first class that fits decides: special before general.
    (SettingsInvalid, ExitCode.SETTINGS),
    (TokenMalformed, ExitCode.USAGE),
    (OutputUnusable, ExitCode.USAGE),
    (ModelUnfit, ExitCode.MODEL),
    (AlreadyRunning, ExitCode.ALREADY_RUNNING),
    (HomeUnusable, ExitCode.HOME),
    (KeystoreLocked, ExitCode.KEYSTORE),
    (ServiceUnreachable, ExitCode.UNREACHABLE),
    (ServiceRefused, ExitCode.SERVICE_REFUSED),
    (AnswerUnfit, ExitCode.SERVICE_REFUSED),
    (DataUnfit, ExitCode.DATA),
    (LogForked, ExitCode.FORKED),
    (Refused, ExitCode.REFUSED),
)


def exit_code_of(error: NodeError) -> ExitCode:
    """The exit code for an error."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
