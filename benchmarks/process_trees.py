"""Memory and processor time of groups of processes and of all that they have started, at little cost to them.

To read a process' proportional set size (shared pages counted once over all) walks its page tables, some 5 ms of
processor time with its memory locked; over two dozen processes, every second, that was a tenth of a processor. The
resident sizes cost a hundredth of it, and the proportional ones follow them: they are read where the resident ones of
a group are higher than ever before, and now and then.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.5
#: By how much the resident memory of a group must exceed what it was at the last look.
_HIGHER = 1.01
#: So many looks at the resident memory for one at the proportional, also where nothing grows: copied pages are no more
#: resident than shared ones.
_AT_LEAST_ONE_IN = 20


class MemoryWatch(threading.Thread):
    """Samples the memory of groups of processes, children included.

    Args:
        groups: name → process ids.
        every_s: seconds between two looks.
    """

    def __init__(self, groups: dict[str, list[int]], *, every_s: float = _EVERY_S) -> None:
        super().__init__(daemon=True)
        self._every_s = every_s
        self._groups, self._ended = groups, threading.Event()
        self._resident = dict.fromkeys(groups, 0.0)
        self.peaks_mb: dict[str, float] = dict.fromkeys([*groups, "all"], 0.0)

    def run(self) -> None:
        """Until stopped."""
        looks = 0
        while not self._ended.wait(self._every_s):
            trees = self._trees()
            resident = {name: sum(map(_resident_mb, pids)) for name, pids in trees.items()}
            has_grown = any(resident[name] > _HIGHER * self._resident[name] for name in trees)
            if has_grown or looks % _AT_LEAST_ONE_IN == 0:
                self._resident = {name: max(resident[name], self._resident[name]) for name in trees}
                self._look(trees)
            looks += 1

    def _look(self, trees: dict[str, list[int]]) -> None:
        found = {name: sum(map(_proportional_mb, pids)) for name, pids in trees.items()}
        found["all"] = sum(found.values())
        for name, value in found.items():
            self.peaks_mb[name] = max(self.peaks_mb[name], value)

    def _trees(self) -> dict[str, list[int]]:
        children = _children()
        return {name: [one for pid in pids for one in _tree(pid, children)] for name, pids in self._groups.items()}

    def cpu_s(self) -> dict[str, float]:
        """Processor time so far by group, in seconds."""
        return {name: sum(map(_cpu_s, pids)) for name, pids in self._trees().items()}

    def stop(self) -> dict[str, float]:
        """Ends the sampling; the peaks in MB by group, and of all together."""
        self._ended.set()
        self.join()
        return dict(self.peaks_mb)


def _children() -> dict[int, list[int]]:
    """Parent → children, of all processes there are."""
    found = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            found[int(fields[1])].append(int(entry.name))
    return found


def _tree(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(one for child in children.get(pid, ()) for one in _tree(child, children))]


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` after the name, which may hold spaces; none if the process is gone."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _resident_mb(pid: int) -> float:
    return int(found[1]) * _PAGE_MB if (found := _read(pid, "statm").split()) else 0.0


def _proportional_mb(pid: int) -> float:
    return next(
        (int(line.split()[1]) / 1024 for line in _read(pid, "smaps_rollup").splitlines() if line[:4] == "Pss:"), 0.0
    )


def _cpu_s(pid: int) -> float:
    """User and system time of a process, in seconds."""
    return sum(map(int, fields[11:13])) / _TICKS_A_SECOND if (fields := _stat(pid)) else 0.0
