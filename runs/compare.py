"""Learning rules side by side: the same data in the same order, the same budget, one table.

    python main.py --action compare --jobs 2                       # scikit-learn's digits
    python main.py --action compare --datasets mnist --minutes 20  # what is learnt in this time
    python main.py --action compare --sweep batch_size 10 20 40    # each contestant at each of them

Who takes part is in systems/referee.csv, or in --contestants FILE. A folder `Runs-<n>` holds the
runs as of any many, comparison.json (what was compared), and what report/comparison.py writes.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commandLine import parse
from commandLine.actions import COMPARE
from commandLine.settings import Settings
from commandLine.words import typed_options
from datasets import Dataset, load_dataset
from errors import RunError
from options.parser import option_name
from readers.names import NAMES
from records.writing import write_whole
from report.comparison import COMPARISON, write_comparison
from runFolder import RunFolder, createPath
from runs.many import Group, Run, plan_runs, split_words, write_plan
from runs.place import device_name
from runs.setup import device_of
from systems.referee import FILE, Contestant, read_contestants

WHOLE = {"validation": "test", "patience": 0}  # of systems that own these: they learn from all
SAME = {"persistent": "--no-persistent", "augment": "leave it out"}  # or batches would differ
# What the comparison gives to all contestants, and what would make other things than trainings.
GIVEN = COMPARE.reads | WHOLE.keys() | {"action", "dataset", "test_every", "benchmark", "load"}
GIVEN |= {"config"}
OWN_WORDS = {"--action", "--contestants", "--datasets", "--to-error"}


class Comparison(Group):
    """Runs of contestants on data sets, and the table of what came of them."""

    def __init__(self, args: Settings) -> None:
        self.args = args
        self.entries: list[dict[str, str]] = []  # by data set and contestant, for the record
        self.left_out: list[dict[str, str]] = []  # who does not take what is swept, and why

    def runs_of(self, args, words):
        if args.resume:
            if not (args.resume / COMPARISON).exists():
                raise RunError(f"{args.resume} holds no comparison: there is no {COMPARISON} in it")
            return super().runs_of(args, split_words(words, OWN_WORDS)[1])
        file, runs = args.contestants or FILE, []
        contestants = read_contestants(file, NAMES)
        for name in dict.fromkeys(args.datasets):
            taking_part = [one for one in contestants if one.is_for(name)]
            if not taking_part:
                raise RunError(f"no contestant of {file} is for the data set {name}")
            data = self.load(name)
            for one in taking_part:
                runs += self.taken(self.runs_of_one(one, name, data))
        if not runs:
            raise RunError(self.left_out[0]["reason"])
        return runs, []

    def load(self, name: str) -> Dataset:
        return load_dataset(name, self.args.data_dir, device_of(self.args))

    def runs_of_one(self, one: Contestant, dataset: str, data: Dataset) -> list[Run]:
        """The runs of a contestant on a data set; they are noted in `entries`.

        Raises:
            RunError: its options are wrong, or would part it from the others.
        """
        try:
            words = one.words(sizes_of(data))
            given = sorted(refusing(typed_options, words) & GIVEN)
            if given:
                how = given[0].replace("_", "-")
                raise RunError(f"--{how} is not for a contestant: all get the same")
            settings = refusing(parse, ["--dataset", dataset, *words])
            words += common_words(self.args, settings)
            check_same(refusing(parse, ["--dataset", dataset, *words]))
        except RunError as error:
            raise RunError(f"{one.where} ({one.name}): {error}") from None
        about = {"rule": one.rule, "options": one.options, "source": one.source}
        self.entries.append({"dataset": dataset, "contestant": one.name} | about)
        who = [["dataset", dataset], ["contestant", one.name]]
        seeds = range(self.args.seed, self.args.seed + self.args.trials)
        return [
            Run(run.name.replace(" ", "_"), run.values, split_words(run.words, {"--contestant"})[1])
            for run in plan_runs(words, who + (self.args.sweep or []), seeds)
        ]

    def taken(self, runs: list[Run]) -> list[Run]:
        """The runs of a contestant without those whose options it refuses, noted in `left_out`.

        With --sweep all contestants get the same values, which some of them do not read.
        """
        swept, refused = [option_name(option) for option, *_ in self.args.sweep or []], {}
        for run in runs if swept else ():
            try:
                refusing(parse, run.words)
            except RunError as error:
                refused.setdefault(str(error), []).append(run)
        for reason, own in refused.items():
            values = ", ".join(dict.fromkeys(" ".join(r.values[k] for k in swept) for r in own))
            about = {k: own[0].values[k] for k in ("dataset", "contestant")} | {"reason": reason}
            self.left_out.append(about | {"values": "" if len(own) == len(runs) else values})
        return [run for run in runs if not any(run in own for own in refused.values())]

    def settings_of(self, runs, more):
        found = super().settings_of(runs, more)
        return [one.changed(no_figures=self.args.no_figures) for one in found]

    def new_folder(self, settings, runs, results_dir):
        name = "_".join(["compare", *dict.fromkeys(self.args.datasets)])
        folder = createPath(results_dir, name, device_name(self.args), "Runs")
        RunFolder(folder).copy_plotting()
        write_plan(folder, runs)
        options = {name: plain(getattr(self.args, name)) for name in sorted(COMPARE.reads)}
        record = {"options": options, "entries": self.entries, "left_out": self.left_out}
        write_whole(folder / COMPARISON, json.dumps(record, indent=1).encode())
        return folder

    def go_on(self, folder, settings):
        for name in dict.fromkeys(one.dataset for one in settings):
            load_dataset(name, settings[0].data_dir, device_of(self.args))

    def finish(self, folder):
        return write_comparison(folder, self.args.to_error)


def group_of(args: Settings) -> Group:
    """What the many runs are that a command stands for."""
    holds = args.resume and (args.resume / COMPARISON).exists()
    return Comparison(args) if holds or args.action == COMPARE.name else Group()


def sizes_of(data: Dataset) -> dict[str, int]:
    """What the options of a contestant may name in braces."""
    sizes = {"in": math.prod(data.shape), "out": data.n_classes}
    return sizes | ({"channels": data.shape[0]} if len(data.shape) == 3 else {})


def common_words(args: Settings, settings: Settings) -> list[str]:
    """The options that all contestants get; one that a contestant does not read it does not get."""
    system = settings.system
    unread = system.refuses | system.rule_leaves_out.get(settings.training_method, frozenset())
    given: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("epochs", "minutes", "train_samples", "test_samples", "device_label")
        + ("name", "note", "data_dir")
    }
    given |= {"threads": args.threads or 1, "cosine_samples": args.cosine_samples or None}
    given |= {name: value for name, value in WHOLE.items() if name in system.owns}
    words = ["--no-figures"]
    for name, value in given.items():
        if value is not None and name not in unread:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def check_same(settings: Settings) -> None:
    """Raise RunError for a contestant that would not see the same batches as the others."""
    for name, instead in SAME.items():
        if getattr(settings, name):
            raise RunError(
                f"with --{name} it does not see the same samples in the same order as the others: "
                f"{instead}"
            )


def refusing(read: Callable, words: list[str]) -> Any:
    """What a command line means to `read`; a mistake is an error, and not the end of the program.

    Raises:
        RunError: an option is wrong.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return read(words)
    except SystemExit:
        reason = said.getvalue().strip().splitlines()[-1]
        raise RunError(reason.removeprefix("main.py: error: ")) from None


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
