"""Atomic writing of files: a failed or interrupted write leaves the old file as it was, and no half one is listed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..validation import MAX_NAME_BYTES, refuse


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` when the block ends without an exception.

    The temporary file lies beside `path` and has its suffix and a name that begins with a dot, cut where it would be
    longer than file systems allow. After an exception it is removed. If the process is killed it stays, and
    `finished_files` leaves it out.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
        ValueError: if `path` is a folder.
    """
    path = check_target(path)
    unique = f"-{uuid.uuid4().hex[:8]}{path.suffix}"
    stem = os.fsdecode(os.fsencode(f".{path.stem}")[: MAX_NAME_BYTES - len(os.fsencode(unique))])
    temporary = path.with_name(stem + unique)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: str | os.PathLike) -> Path:
    """The path, if a file can be written there; errors are those of `atomic_write`."""
    path = Path(path)
    if path.is_dir():
        refuse("path", "the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} into.")
    return path


def finished_files(folder: str | os.PathLike, suffixes: Collection[str]) -> list[Path]:
    """The files of a folder with one of these suffixes, in any case, sorted; without those of `atomic_write` if killed.

    Args:
        suffixes: in lower case, such as (".png", ".jpg").

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    return sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in suffixes and path.name[0] != ".")
