"""Files that a command writes: whole or not at all, and refused before the work if they cannot be."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from consortium.cli.client import refuse

EXIT_USAGE = 2


def require_writable(out: Path) -> None:
    """Ends the command if no file can be written there."""
    if not out.parent.is_dir():
        refuse(f"{out}: expected a folder {out.parent} to write in, got none; make it first", EXIT_USAGE)
    if not os.access(out.parent, os.W_OK | os.X_OK):
        refuse(f"{out}: the folder {out.parent} is not writable; name another file", EXIT_USAGE)


def write_whole(out: Path, data: bytes) -> None:
    """Writes through a temporary file beside it, so that nobody reads half of it."""
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        refuse(f"{out}: cannot be written ({error.strerror})", EXIT_USAGE)
