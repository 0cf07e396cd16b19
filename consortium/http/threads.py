"""gunicorn's worker of threads; one that has answered a request stays with its connection for a moment.

A bank that has been answered mostly asks again within milliseconds. To hand the connection back to the loop that
watches all of them, and on to a thread again, takes three changes of thread and as many system calls a request.
"""

from __future__ import annotations

import os
import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

#: How long a thread stays.
LINGER_S = 0.05


class LingeringWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module."""

    def is_parent_alive(self) -> bool:
        """Whether gunicorn's parent process is there. Without it this one ends at once, as if it was killed with it:
        threads that wait for work would keep it for a minute, beside the service that was started anew.
        """
        if super().is_parent_alive():
            return True
        os._exit(1)

    def handle(self, conn: Any) -> Any:
        """Answers a request, and those that follow it at once."""
        while True:
            kept = super().handle(conn)
            if kept is not True or not self.alive or not self._comes_more(conn):
                return kept

    def _comes_more(self, conn: Any) -> bool:
        # What was read ahead is the loop's to see to.
        if conn.parser.unreader.buf.getvalue():
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(1000 * LINGER_S))
