"""One process at a time: a run that is being trained is locked."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from errors import RunError
from records.names import LOCK
from records.writing import cannot_write


def lock(file: IO, wait: bool = True) -> bool:
    """Lock an open file until it is closed or this process ends; return whether it was free."""
    try:
        import fcntl  # not on Windows, where nothing is locked

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def sole_process(folder: Path) -> Iterator[None]:
    """Keep other processes from training the run in this folder, for as long as this one does.

    The system takes the lock from a process that has ended, however it did.

    Raises:
        RunError: one is at it, or the folder cannot be written.
    """
    path = folder / LOCK
    try:
        file = locked(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the folder may be gone
                path.unlink()


def locked(path: Path) -> BinaryIO:
    """The file of this name, locked, with the number of this process in it."""
    while True:
        file = path.open("ab+", buffering=0)
        if not lock(file, wait=False):
            file.seek(0)
            owner = file.read().decode() or "another"
            file.close()
            raise RunError(f"process {owner} is at work in {path.parent}: wait until it has ended")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # its owner has removed it since it was opened
    with contextlib.suppress(OSError):  # of a full disk the next file speaks
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())
    return file
