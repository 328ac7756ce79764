"""Warnings for whoever called: Python's, and a list for callers that show them elsewhere, as nodes do.

`warnings.catch_warnings` changes the filters of the whole process, so threads would lose each other's warnings. A list
in a context variable belongs to one thread or task.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_collected: ContextVar[list[str] | None] = ContextVar("collected warnings", default=None)


def warn(message: str) -> None:
    """Warn the caller of the function that calls this: a UserWarning, or an entry of `collect_warnings`."""
    collected = _collected.get()
    if collected is None:
        warnings.warn(message, UserWarning, stacklevel=3)
    else:
        collected.append(message)


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the library's warnings in a list instead of issuing them, in this thread only."""
    collected: list[str] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
