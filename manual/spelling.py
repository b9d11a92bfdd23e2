"""What somebody may have meant who typed a name that there is not.

nearest("P1h", PRESETS)                 # ["P-1h"]
hint("--epoch", ["--epochs", "--T"])    # "did you mean --epochs?"
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

AT_MOST = 3  # names that are offered
LIKENESS = 0.6  # least, from 0 to 1, of two names that may be confused
MEANT = {  # options by the names that they have in other programs
    "lr": "--lr_tab",
    "learningrate": "--lr_tab",
    "eta": "--lr_tab",
    "layers": "--size_tab",
    "hidden": "--size_tab",
    "sizes": "--size_tab",
    "device": "--device-label",
    "gpu": "--device-label",
    "cuda": "--device-label",
    "data": "--dataset",
    "seeds": "--trials",
    "repeat": "--trials",
    "workers": "--jobs",
    "parallel": "--jobs",
    "k": "--Kmax",
    "output": "--results-dir",
    "out": "--results-dir",
    "checkpoint": "--load",
    "precision": "--dtype",
    "epsilon": "--dt",
    "algorithm": "--training-method",
    "rule": "--training-method",
    "method": "--training-method",
    "model": "--network-type",
}


def plain(name: str) -> str:
    """A name without what people leave out or confuse: case, hyphens and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """The names, at most three, that a word was probably meant to be; none if nothing is like it.

    Those that differ in case, hyphens or underscores alone come before those that begin with the
    word, and these before those that are spelt much like it.
    """
    short, names = plain(word), list(dict.fromkeys(names))
    if not short:
        return []
    same = [name for name in names if plain(name) == short]
    meant = [MEANT[short]] if word.startswith("-") and MEANT.get(short) in names else []
    longer = [name for name in names if plain(name).startswith(short)]
    longer = longer or [n for n in names if len(plain(n)) > 3 and short.startswith(plain(n))]
    by_spelling = {plain(name): name for name in reversed(names)}
    like = difflib.get_close_matches(short, by_spelling, AT_MOST, LIKENESS)
    return (same or meant or longer or [by_spelling[one] for one in like])[:AT_MOST]


def hint(word: str, names: Iterable[str]) -> str:
    """A question that names what was probably meant; nothing if nothing is like the word."""
    found = nearest(word, names)
    return f"did you mean {in_words(found)}?" if found else ""


def in_words(names: list[str]) -> str:
    """One, two or three names as people list them."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
