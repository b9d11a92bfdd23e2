"""What `--list-presets` prints: a line per published experiment, or some of them in full.

times.csv holds what they were measured to take here: the processor time of one core, for the whole
experiment or for its first epochs, or so many times that of a part of the first one. A preset that
is not in it was not measured.
"""

from __future__ import annotations

import csv
import functools
import itertools
from pathlib import Path
from typing import NamedTuple

from errors import UserError
from manual.help import width, wrapped
from manual.spelling import hint, plain
from options.defaults import SHARED
from systems.base import Preset, System
from systems.papers import PaperResult, results_of

TIMES = Path(__file__).resolve().parent / "times.csv"
SAMPLES = {  # to train and to test on, of the data sets whose epochs are long
    "mnist": (60_000, 10_000),
    "fashion-mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "tiny-imagenet": (100_000, 10_000),
}


class Time(NamedTuple):
    """What a preset was measured to take."""

    epochs: int  # so many of them
    part: int  # 1, or measured was 1/part of an epoch
    seconds: float
    machine: str


@functools.cache
def times() -> dict[str, Time]:
    """The measured times, by preset."""
    with TIMES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row["preset"]: Time(
            int(row["epochs"]), int(row["part"]), float(row["seconds"]), row["machine"]
        )
        for row in rows
    }


class Entry(NamedTuple):
    """A preset with the system that it is of."""

    name: str
    preset: Preset
    system: System

    @property
    def source(self) -> str:
        return f"{self.system.reference}: {self.system.title}"

    @property
    def dataset(self) -> str:
        words = self.preset.options.split()
        if "--dataset" in words:
            return words[words.index("--dataset") + 1]
        return self.system.defaults.get("dataset", SHARED["dataset"])

    @property
    def epochs(self) -> int:
        return self.preset.epochs or self.system.defaults.get("epochs", SHARED["epochs"])

    @property
    def takes(self) -> str:
        """The time it takes, in words: of all, or so many epochs times that of one, which is an

        estimate (~) if only a part of one was measured.
        """
        time = times().get(self.name)
        if time is None:
            return "not measured"
        if time.epochs == self.epochs:
            return duration(time.seconds)
        about = "~" if time.part > 1 else ""
        return f"{self.epochs} x {about}{duration(time.seconds / time.epochs)}"

    @property
    def headline(self) -> str:
        """The first thing that the paper reports of those that are measured here, by method."""
        rows = results_of(*self.preset.paper)
        for measure in self.system.measures:
            last = {row.method: row for row in rows if row.metric == measure.name}
            if last:
                name = measure.name.removeprefix("test_").replace("_", " ")
                said = "" if name == "error" else f"{name}: "
                return said + ", ".join(figure(row, len(last) > 1) for row in last.values())
        return ""

    def is_about(self, word: str) -> bool:
        """Whether its name, data set or paper has this word in it."""
        texts = (self.name, self.dataset, self.system.reference, self.system.title)
        return any(plain(word) in plain(text) for text in texts)

    def row(self) -> str:
        text = f"  {self.name:<29}  {self.dataset:<13}  {self.epochs:>6}  {self.takes:<14}  "
        text += self.headline
        return text if len(text) <= width() else text[: width() - 3] + "..."

    def in_full(self) -> str:
        head = f"{self.name}: {self.system.reference}, {self.dataset}, {self.epochs} epochs; "
        parts = [self.preset.options, f"paper: {self.preset.reported}"]
        if self.preset.differs:
            parts.append(f"differs from the published command: {self.preset.differs}")
        lines = [wrapped(part, "    ") for part in parts]
        time = times().get(self.name)
        how = f", from 1/{time.part} of an epoch" if time and time.part > 1 else ""
        return "\n".join([wrapped(f"{head}time {self.takes}{how}"), *lines, ""])


def figure(row: PaperResult, with_method: bool) -> str:
    """A figure in short: its method among several, and whether it is only held from memory."""
    method, unit = f"{row.method} " * with_method, " %" * (row.unit == "%")
    return f"{method}{row.value}{unit}{'†' * (row.confirmed == 'memory')}"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes >= 100:
        return f"{minutes / 60:.2g} h"
    return f"{minutes:.2g} min" if minutes < 10 else f"{minutes:.0f} min"


def listing(systems: tuple[System, ...], word: str = "") -> str:
    """What `--list-presets` prints; with a word those that are about it, in full.

    Raises:
        UserError: none is.
    """
    entries = [Entry(name, preset, s) for s in systems for name, preset in s.presets.items()]
    chosen = [entry for entry in entries if entry.is_about(word)]
    if not chosen:
        known = [w for e in entries for w in (e.name, e.dataset, *e.system.reference.split())]
        near = hint(word, known) or "it is looked for in name, paper and data set"
        raise UserError(f"--list-presets {word}: there is none: {near}")
    if word:
        lines = [entry.in_full() for entry in chosen]
    else:
        lines = [f"  {'preset':<29}  {'data set':<13}  epochs  {'time':<14}  the paper's error"]
        for source, group in itertools.groupby(chosen, lambda entry: entry.source):
            lines += ["", source, *(entry.row() for entry in group)]
        lines.append("\n--list-presets WORD: those of that name, paper or data set, in full")
        lines.append("† held from memory, not confirmed; ~ from a part of an epoch")
        lines.append("not measured: the data were not at hand")
    machines = dict.fromkeys(times()[e.name].machine for e in chosen if e.name in times())
    lines += [f"time: processor time of one core, {machine}" for machine in machines]
    return "\n".join(lines)
