"""What the readers share: the splits that they return, files found or fetched, images decoded.

Every reader is a function of a `Source` that returns `Parts`.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import io
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SPLIT_SEED = 0  # which samples are for testing never depends on --seed
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
SCALED_TO_16_BITS = ("PNG", "PPM")  # formats whose mode I is 16 bits wide in PIL
INSTEAD = "use --dataset digits, which needs no files"


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test part of a data set.

    Attributes:
        x: (n, *shape), as stored (uint8 for images), on the device.
        y: (n,), int64 class index; or (n, n_out), real targets in [0, 1]; on the device.
        n_classes: width of a target.
        scale: what 1.0 is stored as; batches are x / scale, in [0, 1].
        mean, std: of normalised inputs, in the units of a batch, per channel or column.
        task: "classes" (the largest output is the answer), "bits" (each output is on or off, from
            1/2 on) or "values" (regression).
    """

    x: torch.Tensor
    y: torch.Tensor
    n_classes: int
    scale: float
    task: str = "classes"
    mean: torch.Tensor | None = None
    std: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def batch(
        self, index: slice | torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples at `index` (a slice, or int64 (b,)), ready for a network.

        Returns:
            data: (b, *shape), in [0, 1] unless normalised; always a copy, free to be written to.
            target: (b, n_classes), one-hot unless real targets are stored.
        """
        data = self.x[index].to(dtype, copy=True).div_(self.scale)
        if self.mean is not None:
            data.sub_(self.mean.to(dtype)).div_(self.std.to(dtype))
        if self.y.ndim == 2:
            return data, self.y[index].to(dtype)
        label = self.y[index].unsqueeze(1)  # (b, 1)
        target = data.new_zeros(len(label), self.n_classes).scatter_(1, label, 1.0)
        return data, target

    def n_batches(self, batch_size: int) -> int:
        """How many batches one pass hands out, a smaller last one included."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, a batch needs at least one sample")
        return -(-len(self) // batch_size)

    def batches(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        order: torch.Tensor | None = None,
        start: int = 0,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One pass over the split, `batch` by `batch`; the last may be smaller, none is dropped.

        Args:
            order: (n,), int64 permutation; None is the order as stored.
            start: number of batches to skip, so that an interrupted pass can go on.
        Raises:
            ValueError: batch_size, start or the length of order do not fit the split.
        """
        total = self.n_batches(batch_size)
        if not 0 <= start <= total:
            raise ValueError(f"start is {start}, a pass has {total} batches of {batch_size}")
        spans = (slice(i * batch_size, (i + 1) * batch_size) for i in range(start, total))
        if order is None:
            return (self.batch(span, dtype) for span in spans)
        if order.shape != self.y.shape[:1]:
            raise ValueError(f"order has shape {tuple(order.shape)}, the split {len(self)} samples")
        order = order.to(self.y.device)
        return (self.batch(order[span], dtype) for span in spans)

    def mistakes(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The error of each sample: 100 (%) for a wrong answer; in regression half the square.

        Args:
            output, target: (..., batch, n_out).
        Returns:
            (..., batch), the type of the output; NaN where the output is.
        """
        if self.task == "values":
            return (output - target).square().sum(-1) / 2
        if self.task == "bits":
            wrong = ((output >= 0.5) != (target >= 0.5)).any(-1)
        else:
            wrong = output.argmax(-1) != target.argmax(-1)
        return torch.where(output.isnan().any(-1), torch.nan, 100.0 * wrong)


class Parts(NamedTuple):
    """What a reader returns; `note` is a line for people: what was found, and what was left out."""

    train: Split
    test: Split
    note: str = ""


def choose_test(y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for testing, the same `share` of every class, in mixed order.

    Args:
        y: (n,), class index, at least two samples of each class.
    Returns:
        train, test: disjoint, together all of 0..n-1; every class is in both.
    """
    # RandomState: numpy promises that its numbers never change, newer generators may.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(y))
    for_test = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = order[y[order] == label]
        for_test[members[: max(1, round(share * len(members)))]] = True
    return order[~for_test[order]], order[for_test[order]]


# -------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class Source:
    """What a user says about a data set; a reader uses what concerns it.

    Attributes:
        data_dir: where the files are, or are downloaded to.
        image_size: pixels a side of the images in folders; None is the size of the first.
        grey: one channel for the images in folders, instead of three.
    """

    data_dir: str | Path | None = None
    image_size: int | None = None
    grey: bool = False

    def folder(self) -> Path:
        """data_dir in full; a folder, or nothing yet."""
        if self.data_dir is None:
            raise DataError("this data set is read from a folder: name it with --data-dir")
        folder = Path(os.path.abspath(os.path.expanduser(self.data_dir)))
        if folder.is_file():
            raise DataError(f"{folder} is a file: name the folder that holds the data set")
        return folder


def require(module: str, package: str) -> ModuleType:
    """Import on first use, for start-up is dear; a missing library is an error for people."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"this data set needs {package}: install it with pip install {package}"
        ) from error


@contextlib.contextmanager
def work_aside(root: Path) -> Iterator[Path]:
    """A folder on the disk of `root`, which need not exist; what is done is moved out of it.

    Nobody meets half a file, and a failure leaves the disk as it was.
    """
    existing = next(folder for folder in (root, *root.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".aside-", dir=existing) as fresh:
        yield Path(fresh)


@contextlib.contextmanager
def quiet_network() -> Iterator[None]:
    """A server that does not answer is given up on; bars and chatter of the download are dropped.

    The timeout is a setting of the whole process, so it is put back.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def download_aside(root: Path, lack: str, remedy: str, what: str = "it") -> Iterator[Path]:
    """A folder to download to, quietly; what is whole is to be moved to `root` from there.

    Raises:
        DataError: it failed; the message says what is lacking, why, and what else can be done.
    """
    try:
        with work_aside(root) as fresh, quiet_network():
            yield fresh
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{lack} and downloading {what} failed ({brief_reason(error)}): {remedy}, or {INSTEAD}"
        ) from error


def brief_reason(error: Exception) -> str:
    """The causes in torchvision's report (a heading, then address and cause per mirror), once."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line and not line.startswith(("Error downl", "Tried "))]
    plain = [line.removeprefix("<urlopen error ").removesuffix(">").strip(".") for line in causes]
    return "; ".join(dict.fromkeys(plain)) or type(error).__name__


def unusable(path: Path, reason: str, whole: Path | None = None) -> DataError:
    """The error for a file of a set that is kept alone, or in the folder or archive `whole`."""
    return DataError(
        f"{path} cannot be used ({reason}): put a whole copy there, or delete {whole or 'it'}"
        f" to have the set downloaded anew, or {INSTEAD}"
    )


# ------------------------------------------------------------------------------------------- images


class Picture(NamedTuple):
    """An image file."""

    pixels: np.ndarray  # uint8 (channels, height, width)
    more: bool  # it holds further frames or pages, which are not read


def decode_all(paths: list[str], mode: str, size: tuple[int, int]) -> tuple[torch.Tensor, int]:
    """All images in PIL's `mode` L or RGB, at one size (height, width).

    Returns:
        pixels: uint8 (n, channels, height, width).
        n_more: how many files hold further frames or pages.
    """
    pixels = np.empty((len(paths), len(mode), *size), dtype=np.uint8)  # a letter is a channel
    n_more = 0
    for i, path in enumerate(paths):
        pixels[i], more = decode(path, mode, size)
        n_more += more
    return torch.from_numpy(pixels), n_more


def decode(path: str, mode: str, size: tuple[int, int] | None = None) -> Picture:
    """One image in PIL's `mode` L or RGB, at its own size or at `size` (height, width).

    Raises:
        DataError: it cannot be read, or what its numbers mean is not known.
    """
    pil = require("PIL.Image", "pillow")
    try:
        with pil.open(path) as image:
            more = getattr(image, "is_animated", False)
            image = eight_bits(image, path).convert(mode)
    except DataError:
        raise
    except Exception as error:  # a decoder that meets garbage raises whatever it likes
        reason = getattr(error, "strerror", None) or "damaged or of an unknown kind"
        raise DataError(f"{path} cannot be read as an image ({reason})") from error
    if size is not None:
        image = image.resize(size[::-1], pil.Resampling.BILINEAR)
    return Picture(np.atleast_3d(image).transpose(2, 0, 1), more)


def eight_bits(image: Image.Image, path: str) -> Image.Image:
    """The image, the upper 8 bits of one of 16: convert() clips what is above 255.

    Raises:
        DataError: its pixels are real or have 32 bits; what is white is not said in such a file.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SCALED_TO_16_BITS):
        pil = require("PIL.Image", "pillow")
        return pil.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = "real" if image.mode == "F" else "32-bit"
        raise DataError(
            f"{path} has {kind} numbers as pixels, which do not say how bright white is: store"
            " images with 8 or 16 bits"
        )
    return image
