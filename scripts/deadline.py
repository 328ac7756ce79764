"""Deadlines that follow progress: on a busy machine a program that is only slow is not given up.

The clock stands still while this process and its descendants, such as a server or a browser, wait for a core that other
programs use. Linux counts that time; elsewhere the clock shows wall time. It uses the standard library only.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
MIN_RATE = 0.05  # of the clock, so that it goes on, whatever the load
SAMPLE_SECONDS = 0.5  # the shortest time between two readings of all threads


def descendants(pid: int) -> Iterator[int]:
    """A process and all that it and its descendants started, as far as Linux lists them."""
    yield pid
    for file in PROC.glob(f"{pid}/task/*/children"):
        try:
            children = file.read_text().split()
        except OSError:  # the thread has just ended
            continue
        for child in children:
            yield from descendants(int(child))


def seconds_without_core(pid: int) -> dict[str, float]:
    """How long each thread of a process and of its descendants has waited for a core since it began, by its path."""
    waited = {}
    for process in descendants(pid):
        for file in PROC.glob(f"{process}/task/*/schedstat"):
            try:
                waited[str(file)] = int(file.read_text().split()[1]) / 1e9
            except (OSError, IndexError):  # the thread has just ended
                continue
    return waited


class Clock:
    """Seconds since its creation in which nothing of this process and its descendants waited for a core."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._read_at, self._waited = time.monotonic(), seconds_without_core(os.getpid())

    def seconds(self) -> float:
        """The time now. It runs at most as fast as wall time."""
        now, waited = time.monotonic(), seconds_without_core(os.getpid())
        wall = now - self._read_at
        # A sum: server, browser and driver wait for each other, so that usually one of them needs a core.
        lost = sum(max(seconds - self._waited.get(thread, 0.0), 0.0) for thread, seconds in waited.items())
        self._seconds += max(wall - lost, MIN_RATE * wall)
        self._read_at, self._waited = now, waited
        return self._seconds


class Deadline:
    """Passes after `seconds` of the clock without a sign of progress."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._clock, self._since, self._sign = Clock(), 0.0, None
        self._checked_at = time.monotonic()

    def passed(self, sign: object = None) -> bool:
        """Whether it has passed. Another `sign` than at the last call is progress: the time begins anew."""
        now = time.monotonic()
        if sign == self._sign and now - self._checked_at < SAMPLE_SECONDS:
            return False
        self._checked_at = now
        seconds = self._clock.seconds()
        if sign != self._sign:
            self._sign, self._since = sign, seconds
        return seconds - self._since > self.seconds
