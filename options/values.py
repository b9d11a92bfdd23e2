"""The types of options: each reads a word, or says in a line what would be right."""

from __future__ import annotations

import argparse
import math
import sys

MANY_THREADS = 1024  # torch ends the program where the system cannot start as many as it is told
SMALLEST, LARGEST = 1.2e-38, 3.4e38  # of 32-bit numbers


def positive_int(text: str) -> int:
    return whole(text, 1)


def natural(text: str) -> int:
    return whole(text, 0)


def device_label(text: str) -> int:
    return whole(text, -1)


def n_threads(text: str) -> int:
    return whole(text, 0, MANY_THREADS)


def whole(text: str, least: int, most: int = sys.maxsize) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    if value > most:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
    return value


def real(text: str, fits, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not fits(value):
        commas = ": values are separated by spaces" if "," in text else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}{commas}")
    if abs(value) > LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 32-bit numbers hold, {LARGEST}")
    return value


def positive(text: str) -> float:
    return real(text, lambda v: v > 0, "a number above 0")


def not_negative(text: str) -> float:
    return real(text, lambda v: v >= 0, "a number of at least 0")


def non_zero(text: str) -> float:
    value = real(
        text, lambda v: v != 0, "a number other than 0 (EP is a difference quotient in beta)"
    )
    if abs(value) < SMALLEST:
        raise argparse.ArgumentTypeError(f"{text!r} is nearer to 0 than {SMALLEST}")
    return value


def finite(text: str) -> float:
    return real(text, lambda v: True, "a number")


def share(text: str) -> float:
    return real(text, lambda v: 0 <= v <= 1, "a number from 0 to 1")


def share_kept(text: str) -> float:
    return real(text, lambda v: 0 <= v < 1, "a number of at least 0 and below 1")


def part(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a number above 0 and at most 1")


def over_relaxation(text: str) -> float:
    return real(text, lambda v: 0 < v < 2, "a number between 0 and 2")


def held_share(text: str) -> str:
    if text != "test":
        real(text, lambda v: 0 < v < 1, "a number between 0 and 1, or test")
    return text


def one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a line of text")
    return text


def euler_step(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a step above 0 and at most 1")
