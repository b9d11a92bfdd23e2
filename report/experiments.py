"""Sorts runs into experiments: same options, any seed; and finds what a paper reports of them.

    for experiment in experiments_of(read_results([Path("results")]).runs):
        print(experiment.label, experiment.method, experiment.spread("test_error"))

An experiment is a published one if every option that shapes it has the value of a preset, whoever
typed it; the number of epochs, the seed and the machine are no such options.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import shlex
import statistics
from typing import Any, NamedTuple

import numpy as np

from commandLine import parse
from commandLine.settings import build_parser, defaults_for, fitted, methods_of, recorded_options
from commandLine.words import words_of
from parallel import WORST
from report.reader import PER_EPOCH, Run, is_finished, kept_epoch
from systems import METHODS, PRESETS, SYSTEMS, partner_of
from systems.base import System
from systems.papers import PaperResult, results_of

NO_SHAPE = {"action", "seed", "epochs", "training_method", "benchmark", "num_net"}
NO_SHAPE |= {"data_dir", "results_dir", "device_label", "threads", "compile", "test_batch_size"}
NO_SHAPE |= {"train_error", "curves", "save_full", "folders", "tensorboard"}
NO_SHAPE |= {"name", "note", "no_figures", "test_every", "minutes", "cosine_samples"}
SELECTING = {"training_method", "benchmark", "action"}.union(*(s.selectors for s in SYSTEMS))
NEAR = 3  # options in which an experiment may differ from a preset to be called by its name


class Spread(NamedTuple):
    """Mean and standard deviation (denominator n - 1) of those of n values that are numbers."""

    mean: float
    std: float  # NaN of fewer than two
    known: int
    n: int


def spread_over(values: list[float]) -> Spread:
    known = [v for v in values if math.isfinite(v)]
    mean = statistics.fmean(known) if known else math.nan
    std = statistics.stdev(known) if len(known) > 1 else math.nan
    return Spread(mean, std, len(known), len(values))


class Trial(NamedTuple):
    """One run's training by one method."""

    run: Run
    method: str

    @property
    def rows(self) -> list[dict[str, float]]:
        return self.run.rows[self.method]

    @property
    def seed(self) -> int:
        return self.run.options["seed"]

    @property
    def done(self) -> int:
        return int(self.rows[-1]["epoch"])

    @property
    def asked(self) -> int:
        """Epochs, those that a resumed run has added included."""
        return max(self.run.options["epochs"] or 1, self.done)

    @property
    def finished(self) -> bool:
        return is_finished(self.run, self.method)

    def measured(self, epoch: int) -> dict[str, float]:
        """What came out after so many epochs, by the names of papers.csv."""
        rows = [row for row in self.rows if row["epoch"] <= epoch] or self.rows[:1]
        tested = [row for row in rows if "test_error" in row] or [{"test_error": math.nan}]
        values = {"train_error": rows[-1]["train_error"], "test_error": tested[-1]["test_error"]}
        if self.run.system.shown_as == "accuracy":
            kept_at = kept_epoch(self.run, self.method)
            kept = next((row for row in rows if row["epoch"] == kept_at), rows[-1])
            values["test_accuracy"] = 100 - kept.get("test_error", math.nan)
            values["train_accuracy"] = 100 - kept["train_error"]
            values["epochs"] = kept["epoch"]
        products = [row["products"] for row in rows if "products" in row]
        if products:
            values["products"] = statistics.fmean(products)
        spread = self.run.arrays.get(f"{self.method}_log_spread")
        if spread is not None and spread.size:
            values["log_spread"] = float(spread[: len(rows)].mean())
        for name in PER_EPOCH:
            per_epoch = self.run.arrays.get(f"{self.method}_{name}", np.empty(0))[: len(rows)]
            if per_epoch.size:
                worst = name.endswith(WORST)
                values[name] = float(per_epoch.max() if worst else per_epoch.mean())
        return values | self.networks()

    def networks(self) -> dict[str, float]:
        """What has become of a batch of directed networks; empty if they are not trained yet."""
        names = ("learnt", "learnt_epoch", "final_mse", "final_sparsity", "stable")
        found = {name: self.run.arrays.get(f"{self.method}_{name}") for name in names}
        arrays = {name: v for name, v in found.items() if v is not None and v.size}
        values = {}
        for name, share in (("learnt", 100), ("stable", 100), ("final_mse", 1)):
            if name in arrays:
                values[name.removeprefix("final_")] = share * float(arrays[name].mean())
        if "learnt_epoch" in arrays:
            epochs = arrays["learnt_epoch"][np.isfinite(arrays["learnt_epoch"])]
            values["ever_learnt"] = 100 * len(epochs) / len(arrays["learnt_epoch"])
            values["learnt_epoch"] = float(np.median(epochs)) if len(epochs) else math.nan
        if {"learnt", "final_sparsity"} <= set(arrays):
            best = arrays["final_sparsity"][arrays["learnt"].astype(bool)]
            values["sparsity"] = float(best.max()) if best.size else math.nan
            values["mean_sparsity"] = float(arrays["final_sparsity"].mean())
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """The runs with the same options, of any seed, trained by one method for as many epochs."""

    key: str  # shared by the methods of an experiment
    system: System
    method: str
    label: str  # a preset, or the options that are no defaults
    preset: str  # the preset whose paper's figures stand beside it, or nothing
    results: list[PaperResult]  # those figures
    counted: list[Trial]  # one per seed; unfinished ones only if there are no others
    repeated: list[Trial]  # further runs of these seeds, which do not count
    waiting: list[Trial]  # other seeds, unfinished

    @property
    def finished(self) -> bool:
        return self.counted[0].finished

    @property
    def asked(self) -> int:
        return self.counted[0].asked

    @property
    def unit(self) -> str:
        return self.counted[0].run.unit

    @property
    def epoch(self) -> int:
        """The last one that all counted runs have reached, or their last if all are finished."""
        done = [trial.done for trial in self.counted]
        return max(done) if self.finished else min(done)

    @functools.cached_property
    def measured(self) -> list[dict[str, float]]:
        """What came out of each counted run."""
        return [trial.measured(self.epoch) for trial in self.counted]

    def spread(self, name: str) -> Spread:
        """Mean and standard deviation over the seeds; n is 0 where it is not measured."""
        return spread_over([values[name] for values in self.measured if name in values])

    def seconds(self) -> tuple[float, float]:
        """Per epoch, and in total; mean over the counted runs."""
        own = [[row["seconds"] for row in trial.rows] for trial in self.counted]
        epochs = [statistics.fmean(times) for times in own]
        return statistics.fmean(epochs), statistics.fmean(map(sum, own))

    def reported(self, name: str) -> PaperResult | None:
        """The paper's figure: after as many epochs if there is one, else after the preset's."""
        rows = [row for row in self.results if row.metric == name]
        for epoch in (self.epoch, self.published_epochs):
            for row in rows:
                if row.epoch == epoch:
                    return row
        return rows[-1] if rows else None

    @property
    def published_epochs(self) -> int:
        """Epochs of the published run, 0 of no published one."""
        return options_of_presets()[self.preset].epochs if self.preset else 0

    def is_partial(self, result: PaperResult) -> bool:
        """The paper's figure was measured after more epochs than there are here."""
        if result.epoch:
            return self.epoch < result.epoch
        return not self.finished or self.asked < self.published_epochs


def shape(options: dict[str, Any]) -> dict[str, Any]:
    """The options that make an experiment what it is."""
    chosen = {name: value for name, value in options.items() if name not in NO_SHAPE}
    if options["dataset"] in ("folder", "file"):
        chosen["data_dir"] = options["data_dir"]
    return chosen


def experiments_of(runs: list[Run]) -> list[Experiment]:
    """The trained experiments among the runs: published ones first, in the presets' order."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for run in runs:
        text = json.dumps(shape(run.options), sort_keys=True, default=str)
        for method in run.rows if run.options["action"] == "train" else ():
            trial = Trial(run, method)
            key = f"{text} {trial.asked} {run.options['num_net']}"
            groups.setdefault((key, method), []).append(trial)
    found = [grouped(key, method, trials) for (key, method), trials in groups.items()]
    order, methods = list(PRESETS), list(METHODS)

    def rank(one: Experiment) -> tuple:
        first = one.label.split()[0]
        place = order.index(first) if first in order else len(order)
        return place, one.label, one.asked, one.key, methods.index(one.method)

    return sorted(found, key=rank)


def grouped(key: str, method: str, trials: list[Trial]) -> Experiment:
    """An experiment of its trials; of each seed the newest finished one counts, else the newest."""
    newest = sorted(trials, key=lambda t: (t.finished, t.run.started, str(t.run.folder)))
    chosen = {trial.seed: trial for trial in newest}
    each = sorted(chosen.values(), key=lambda trial: trial.seed)
    finished = [trial for trial in each if trial.finished]
    run = trials[0].run
    preset, label, results = named(run, method)
    return Experiment(
        key=key,
        system=run.system,
        method=method,
        label=label,
        preset=preset,
        results=[row for row in results if row.method == method],
        counted=finished or each,
        repeated=[trial for trial in newest if trial is not chosen[trial.seed]],
        waiting=[trial for trial in each if finished and not trial.finished],
    )


def named(run: Run, method: str) -> tuple[str, str, list[PaperResult]]:
    """Preset, label and reported results of a run; a near preset lends its name, no results."""
    (name, differing), label = nearest_preset(run.options, method), label_for(run, method)
    if not name:
        return "", label, []
    if method not in options_of_presets()[name].methods:
        return "", label, []
    if differing:
        return "", label, swept_results(name, run.options, differing)
    return name, label, results_of(*PRESETS[name].paper)


def label_for(run: Run, method: str, leave_out: str = "") -> str:
    """What a run is called: a near preset, and the options in which it differs, but for one."""
    name, differing = nearest_preset(run.options, method)
    names = [other for other in (differing if name else unusual(run)) if other != leave_out]
    return f"{name} {words_for(run.options, names)}".strip()


def preset_swept(run: Run, method: str, option: str) -> str:
    """The preset from which a run differs in this option at most, or nothing."""
    name, differing = nearest_preset(run.options, method)
    is_of_it = name and method in options_of_presets()[name].methods
    return name if is_of_it and set(differing) <= {option} else ""


def swept_results(preset: str, options: dict[str, Any], differing: list[str]) -> list[PaperResult]:
    """What is reported of a preset with one option changed, as of a sweep."""
    if len(differing) != 1 or not isinstance(options[differing[0]], int | float):
        return []
    place = f", {differing[0]} {options[differing[0]]:g}"
    return results_of(*(name + place for name in PRESETS[preset].paper))


def nearest_preset(options: dict[str, Any], method: str) -> tuple[System, list[str]]:
    """The preset with the fewest other options, and their names; nothing if they are many."""
    own = shape(options)
    best: tuple[int, bool] = (NEAR + 1, False)
    found: tuple[str, list[str]] = ("", [])
    for name, published in options_of_presets().items():
        if not {method, partner_of(method)} & set(published.methods):
            continue
        others = published.others(own)
        distance = len(others), method not in published.methods
        if distance < best:
            best, found = distance, (name, others)
    return found


class Published(NamedTuple):
    """What the options of a preset, or of another training, stand for."""

    options: dict[str, Any]  # those that shape it
    methods: list[str]
    epochs: int
    networks: int

    def others(self, options: dict[str, Any]) -> list[str]:
        """The options that have another value than here."""
        return [key for key, value in self.options.items() if options.get(key, value) != value]


class Sizes(NamedTuple):
    """What `System.settle` reads of a data set."""

    shape: tuple[int, ...]
    n_classes: int


@functools.cache
def stands_for(options: str) -> Published:
    """What the options of a training, as they are typed, stand for."""
    args = parse(shlex.split(options))
    if args.size_tab and not args.C_tab:  # from its sizes other options may follow
        args = fitted(args, Sizes((args.size_tab[-1],), args.size_tab[0]))
    return Published(shape(recorded_options(args)), methods_of(args), args.epochs, args.num_net)


@functools.cache
def options_of_presets() -> dict[str, Published]:
    """What the presets stand for, by their names."""
    return {name: stands_for(f"--preset {name}") for name in PRESETS}


def unusual(run: Run) -> list[str]:
    """The data set of a run, and its options that are not the defaults of its system."""
    plain = vars(build_parser().parse_args([]))
    chosen = {name: run.options[name] for name in (*SELECTING, "dataset")}
    args = argparse.Namespace(**plain | chosen)
    usual = vars(args) | defaults_for(args, run.system)
    names = [name for name in shape(run.options) if name in plain and name != "dataset"]
    return ["dataset"] + [
        name for name in names if run.options[name] != (plain if name in SELECTING else usual)[name]
    ]


def words_for(options: dict[str, Any], names: list[str]) -> str:
    """These options as they are typed."""
    words = []
    for name in names:
        value = options[name]
        short = float(f"{value:.4g}") if isinstance(value, float) else value
        words += words_of(build_parser(), {name: short}) or [
            "without",
            build_parser().spelling(name),
        ]
    return " ".join(words).replace("=", " ")
