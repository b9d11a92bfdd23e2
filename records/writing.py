"""Files are written whole, or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path
from typing import Any

from errors import RunError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, never meets half of it."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    why = f"cannot write {path} ({error.strerror or error})"
    if not path.parent.is_dir():
        return RunError(f"{why}: its folder was removed while the program ran")
    return RunError(
        f"{why}: what was written before is intact; make room or choose another --results-dir"
    )


def write_rows(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """Write a CSV file with these columns; what a row does not have stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
