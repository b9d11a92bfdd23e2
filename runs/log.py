"""What a run prints, kept in log.txt of its folder.

    with Log():                      # around all that a command does
        print("before there is a folder")
        keep_in(folder)              # what was printed, and what comes

A progress bar is for the screen alone. A run among many prints into its log.txt from the start
(runs/launch.py), where `keep_in` does nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

LOG = "log.txt"
STATUS = "status.txt"  # of a run among many: how it stands
RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"


class Log:
    """Copies standard output and standard error, as they come, into one file.

    Args:
        argv: the words of the command line, which is its first line.
    """

    def __init__(self, argv: list[str]) -> None:
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self.early = [f"{started} {shlex.join(['python', 'main.py', *argv])}\n"]
        self.file: TextIO | None = None

    def __enter__(self) -> Log:
        self.streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (Copied(stream, self) for stream in self.streams)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        sys.stdout, sys.stderr = self.streams
        if isinstance(error, Exception):  # which Python prints when all is over
            self.add("".join(traceback.format_exception(error)))
        if self.file is not None:
            self.file.close()

    def open(self, folder: Path) -> None:
        """Put what was printed into the folder's log.txt, and what comes; a folder that cannot be

        written does not get one.
        """
        with contextlib.suppress(OSError):
            self.file = (folder / LOG).open("a", encoding="utf-8", errors="replace", buffering=1)
            self.file.writelines(self.early)
            self.early = []

    def add(self, text: str) -> None:
        if "\r" in text:  # a progress bar, drawn over and over
            return
        if self.file is None:
            self.early.append(text)
            return
        with contextlib.suppress(OSError):  # of a full disk the results speak
            self.file.write(text)


class Copied:
    """A stream whose text goes to a log, too."""

    def __init__(self, stream: TextIO, log: Log) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.log.add(text)
        return self.stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def keep_in(folder: Path) -> None:
    """Keep what this process prints in a folder, if it is within a `Log`."""
    if isinstance(sys.stdout, Copied):
        sys.stdout.log.open(folder)


def status_of(folder: Path) -> str:
    """How a run stands: the line of its status.txt, empty if it has not begun."""
    try:
        return (folder / STATUS).read_text(encoding="utf-8")
    except OSError:
        return ""
