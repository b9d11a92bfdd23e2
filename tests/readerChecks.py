"""What the tests of the readers share."""

import struct

import numpy as np
import pytest

from errors import DataError


def error_of(read, *arguments, **options):
    """The message of the DataError that reading must end with, checked to be one sentence."""
    with pytest.raises(DataError) as caught:
        read(*arguments, **options)
    message = str(caught.value)
    assert message and "\n" not in message and ". " not in message and not message.endswith(".")
    return message


def contents(folder):
    return sorted(path for path in folder.rglob("*"))


def idx_bytes(values):
    """An idx file of unsigned bytes: magic number, the sizes (big endian), the values."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()
