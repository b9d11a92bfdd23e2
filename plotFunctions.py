"""Figures from what is on disk.

    python plotFunctions.py                 # the figures of the folder that this file lies in
    python plotFunctions.py RUN             # those of a run, or of a folder of many runs
    python plotFunctions.py PARENT          # all trainings below a folder in one figure
    python plotFunctions.py RUN RUN ...     # chosen trainings in one; in which options they differ

`plot_*` reads numbers from a folder and writes a figure; the functions of drawing/ draw it. In a
result folder lies all of this in one file, which runs alone.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from drawing.compared import comparisons
from drawing.directed import (
    draw_angles,
    draw_best,
    draw_convergence,
    draw_decision,
    draw_mse,
    draw_weights,
)
from drawing.learning import Curve, draw_errors, draw_learning, legend_title, style_of, told_apart
from drawing.matching import (
    NEURONS_UNIT,
    SYNAPSES_UNIT,
    draw_audit,
    draw_mismatch,
    draw_processes,
    say_settling,
)
from drawing.reading import (
    Rows,
    by_method,
    differences,
    group_of,
    methods_with,
    names_of,
    numbers,
    over_seeds,
    read_arrays,
    read_summary,
    read_table,
    swept_options,
    trainings_below,
    unit_of,
)
from drawing.skips import draw_corrections, draw_dW, draw_pairs
from drawing.style import (
    COLOURS,
    PANEL,
    STYLES,
    colour_of,
    from_zero,
    legend_below,
    legend_beside,
    marker_of,
    new_figure,
    palette,
)
from drawing.sweeps import Points, draw_sweep, option_axis
from records.names import ARRAYS, METRICS, SUMMARY

MOST_COMPARED = 24  # lines that one figure tells apart


def save(figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF, each beside its place first; return the paths."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        drawn = io.BytesIO()
        figure.savefig(drawn, format=path.suffix[1:], dpi=150)
        figure.set_layout_engine("none")  # what the first found holds for the second
        part = path.with_name(path.name + ".part")
        part.write_bytes(drawn.getvalue())
        os.replace(part, path)
    return paths


# One run -----------------------------------------------------------------------------------------


def plot_panels(folder: Path, name: str) -> list[Path]:
    """A figure with a panel for every method and measure that has been recorded."""
    measures, draw = PANELS[name]
    arrays = read_arrays(folder)
    subjects = [(m, measure) for m in methods_with(arrays, measures[0]) for measure in measures]
    if not subjects:
        return []
    figure = new_figure(figsize=(0.5 + 4.4 * len(subjects), 3.7))
    row = figure.subplots(1, len(subjects), squeeze=False, sharey=True)[0]
    for axes, (method, measure) in zip(row, subjects, strict=True):
        draw(axes, arrays, method, measure)
        axes.set_ylabel(axes.get_ylabel() if axes is row[0] else "")
    legend_below(figure)
    return save(figure, folder, name)


def plot_each(folder: Path, name: str) -> list[Path]:
    """A figure for every method that has recorded what is drawn."""
    array, size, draw = EACH[name]
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, array):
        figure = new_figure(figsize=size)
        draw(figure, arrays, method)
        legend_below(figure)
        written += save(figure, folder, f"{name}_{method}")
    return written


def curves_of(rows: Rows) -> list[Curve]:
    """The errors of every method: training, test and, if there are such, validation."""
    curves = []
    for method, own in by_method(rows).items():
        epochs, colour, marker = numbers(own, "epoch"), colour_of(method), marker_of(method)
        names = {kind: f"{kind}_error" for kind in STYLES}
        tables = {kind: numbers(own, name) for kind, name in names.items() if name in own[0]}
        for kind, errors in told_apart(tables).items():
            label = f"{method} {kind}"
            curves.append(Curve(label, epochs, errors, colour, style_of(kind), marker))
    return curves


def plot_results(folder: Path) -> list[Path]:
    """Errors per epoch of a run."""
    rows, unit = read_table(folder / METRICS), unit_of(folder)
    return save_errors(folder, "results", {unit: curves_of(rows)}) if rows else []


def save_errors(folder: Path, name: str, curves: dict[str, list[Curve]], more: str = "") -> list:
    """A figure of errors over epochs, a panel per unit; `more` is said above its legend."""
    figure = new_figure(figsize=(6.5 * len(curves), 4.0))
    for axes, (unit, own) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(),
                                 strict=True):  # fmt: skip
        draw_errors(axes, own, unit)
    legend_below(figure, legend_title([one for own in curves.values() for one in own]) + more)
    return save(figure, folder, name)


def plot_accuracy(folder: Path) -> list[Path]:
    """Accuracy per epoch of BrainProp and EBP, a star at the epoch whose weights are kept.

    The plot of Pozzi et al. 2020.
    """
    rows = [row for row in read_table(folder / METRICS) if row["method"] in ("BrainProp", "EBP")]
    if not rows:
        return []
    arrays, figure = read_arrays(folder), new_figure(figsize=(6.5, 4.0))
    axes = figure.subplots()
    curves = [curve._replace(values=100 - curve.values) for curve in curves_of(rows)]
    draw_learning(axes, curves, "accuracy (%)")
    for method, own in by_method(rows).items():
        kept = int(arrays.get(f"{method}_kept_epoch", own[-1]["epoch"]))
        height = next(100 - float(row["test_error"]) for row in own if int(row["epoch"]) == kept)
        label, colour = f"{method} kept, epoch {kept} ({height:.2f} %)", colour_of(method)
        axes.plot(kept, height, "*", ms=13, color=colour, mec="k", mew=0.6, label=label)
    legend_below(figure, f"{legend_title(curves)}; star: the epoch that is kept")
    return save(figure, folder, "accuracy")


# Many runs ----------------------------------------------------------------------------------------


def plot_trials(folder: Path) -> list[Path]:
    """Test error per epoch over the seeds."""
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    options, groups, curves = swept_options(rows), {}, []
    for row in rows:
        own = by_method(read_table(folder / row["run"] / METRICS))[row["method"]]
        errors = numbers(own, "test_error")
        groups.setdefault((group_of(row, options), row["method"]), []).append(errors)
    shades = palette(len(groups))
    for k, ((label, method), found) in enumerate(groups.items()):
        length = min(map(len, found))
        table = np.array([errors[:length] for errors in found])  # (seeds, epochs)
        colour, marker = shades[k] if options else colour_of(method), marker_of(method)
        epochs = np.arange(1, length + 1)
        curves.append(Curve(f"{label} test", epochs, table, colour, STYLES["test"], marker))
    return save_errors(folder, "trials", {unit_of(folder / rows[0]["run"]): curves}) if rows else []


def plot_sweep(folder: Path) -> list[Path]:
    """Errors after the last epoch against a swept option, mean over the seeds.

    Below, where they are recorded, the spread of the corrections over the layers and the
    corrections themselves; Gammell et al. 2021, fig. 4.
    """
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    options, methods = swept_options(rows), by_method(rows)
    if len(options) != 1:
        return []
    for row in rows:
        found = read_arrays(folder / row["run"])
        if f"{row['method']}_correction" in found:
            row["correction"] = found[f"{row['method']}_correction"].mean((0, 1)) * found["lr_tab"]
    corrected = {m: own for m, own in methods.items() if all("correction" in r for r in own)}
    n_panels = 1 + bool(corrected) + len(corrected)
    figure = new_figure(figsize=(6.8, 1.0 + 3.0 * n_panels))
    first, *others = figure.subplots(n_panels, 1, squeeze=False)[:, 0]
    draw_measures(first, options[0], methods, {f"{k}_error": STYLES[k] for k in ("train", "test")})
    first.set_ylabel(f"error after the last epoch ({unit_of(folder / rows[0]['run'])})")
    if corrected:
        draw_measures(others[0], options[0], corrected, {"log_spread": "-"})
        others[0].set_ylabel("spread over the layers (decades)")
    for axes, (method, own) in zip(others[1:], corrected.items(), strict=bool(corrected)):
        means = over_seeds(own, options[0], "correction")
        where = option_axis(axes, options[0], set(means))
        draw_pairs(axes, list(where.values()), np.array([means[text][0] for text in where]))
        axes.set_ylabel(f"{method}, RMS correction of a batch")
    for axes in figure.axes:
        legend_beside(axes)
    if any(len(own) > len({row[options[0]] for row in own}) for own in methods.values()):
        first.set_title("mean and standard deviation over the seeds", fontsize=9)
    return save(figure, folder, "sweep")


def draw_measures(axes, option: str, methods: dict[str, Rows], styles: dict[str, str]) -> None:
    """Columns of a summary over the values of an option, from 0."""
    series = []
    for method, own in methods.items():
        for name, style in styles.items():
            label, look = f"{method} {name.replace('_', ' ')}", marker_of(method) + style
            points = over_seeds(own, option, name)
            series.append(Points(label, points, colour_of(method), look))
    draw_sweep(axes, option, series)
    from_zero(axes)


def plot_measures(folder: Path) -> list[Path]:
    """What actions other than training have measured, a panel per measure.

    Against the swept option, mean over the seeds; if there is not one, a dot per seed.
    """
    rows = [row for row in read_summary(folder) if not row.get("epochs")]
    if not rows:
        return []
    options, names, groups = swept_options(rows), list(rows[0]), {}
    measures, swept = names[names.index("method") + 1 :], len(options) == 1
    for row in rows:
        groups.setdefault(row["method"] if swept else group_of(row, options), []).append(row)
    across, down = min(3, len(measures)), -(-len(measures) // 3)
    figure = new_figure(figsize=(PANEL[0] * across, PANEL[1] * down))
    option, shades = options[0] if swept else "seed", palette(len(groups))
    for k, measure in enumerate(measures):
        axes, series = figure.add_subplot(down, across, k + 1), []
        for n, (label, every) in enumerate(groups.items()):
            own = [row for row in every if row[measure]]  # one action measures more than another
            colour, marker = COLOURS.get(label, shades[n]), marker_of(every[0]["method"])
            if own:
                points = over_seeds(own, option, measure)
                series.append(Points(label, points, colour, marker + "-" * swept))
            if own and not swept:
                axes.axhline(numbers(own, measure).mean(), color=colour, lw=1)
        draw_sweep(axes, option, series)
        unit = " (%)" if measure in ("same_sign", "both_zero") else ""
        axes.set_ylabel(measure.replace("_", " ") + unit)
    legend_below(figure, "bars: one standard deviation over the seeds" if swept else "line: mean")
    return save(figure, folder, "measures")


def plot_comparison(folder: Path) -> list[Path]:
    """Learning rules compared: error against cost, and per epoch, or against what was swept."""
    arrays, written = read_arrays(folder), []
    for one in comparisons(arrays) if "compared_contestant" in arrays else ():
        figure = new_figure(figsize=one.size)
        one.draw(figure)
        (legend_beside(figure.axes[-1]) if one.beside else legend_below(figure))
        written += save(figure, folder, one.name)
    return written


# Chosen trainings ---------------------------------------------------------------------------------


def plot_compared(runs: Sequence[Path], folder: Path) -> list[Path]:
    """Test errors of trainings, a line per run and method; where they are few, training errors too.

    A panel per unit; Gammell et al. 2021, fig. 2.

    Raises:
        ValueError: more lines than a figure tells apart.
    """
    tables = {run: by_method(read_table(run / METRICS)) for run in runs}
    n_lines = sum(map(len, tables.values()))
    if n_lines > MOST_COMPARED:
        raise ValueError(f"{n_lines} lines are too many for one figure: choose {MOST_COMPARED}")
    chosen = [
        ", ".join(f"{name} {value}" for name, value in each.items() if name != "training_method")
        for each in differences(runs)  # the method is named behind them
    ]
    told = {(label, each) for run, label in zip(runs, chosen, strict=True) for each in tables[run]}
    short = len(told) == n_lines and max(map(len, chosen)) < 40
    curves: dict[str, list[Curve]] = {}
    colours = iter(palette(n_lines))
    for run, label in zip(runs, chosen if short else names_of(runs), strict=True):
        for method, rows in tables[run].items():
            colour, marker = next(colours), marker_of(method)
            own, epochs = curves.setdefault(unit_of(run), []), numbers(rows, "epoch")
            for kind in ("train", "test")[n_lines > 6 :]:
                name = f"{label} {method}".strip() if kind == "test" else "_"
                errors = numbers(rows, f"{kind}_error")
                own.append(Curve(name, epochs, errors, colour, STYLES[kind], marker))
    said = "; solid: test" + ", dashed: train" * (n_lines <= 6)
    return save_errors(folder, "compared", curves, said)


# Gradient matching -------------------------------------------------------------------------------


def plot_S(folder: Path) -> list[Path]:
    """EP's updates (dashed) and BPTT's gradients (solid) of sampled neurons, a panel per layer."""
    arrays = read_arrays(folder)
    if "layers" not in arrays:
        return []
    panels = [(layer, arrays[f"nS_{layer}"], arrays[f"dS_{layer}"]) for layer in arrays["layers"]]
    figure = new_figure()
    draw_processes(figure, panels, NEURONS_UNIT)
    legend_below(figure)
    say_settling(figure, "neurons", arrays)
    return save(figure, folder, "neurons")


def plot_T(folder: Path) -> list[Path]:
    """The same for sampled synapses: instantaneous (nT, dT) and cumulated (NT, DT)."""
    arrays, written = read_arrays(folder), []
    names = arrays.get("synapses", ()) if "layers" in arrays else ()
    cumulated = [(name, arrays[f"NT_{name}"], arrays[f"DT_{name}"]) for name in names]
    steps = [(name, compute_nTdT(NT), compute_nTdT(DT)) for name, NT, DT in cumulated]
    kinds = {"synapses": (steps, ", per step)"), "synapses, cumulated": (cumulated, ")")}
    for title, (panels, end) in kinds.items() if cumulated else ():
        figure = new_figure()
        draw_processes(figure, panels, SYNAPSES_UNIT + end)
        legend_below(figure)
        say_settling(figure, title, arrays)
        written += save(figure, folder, title.replace(", ", "_"))
    return written


def compute_nTdT(cumulated: np.ndarray) -> np.ndarray:
    """Instantaneous process (K, n) of a cumulated one: its steps, 0 at t = 0."""
    return np.diff(cumulated, axis=0, prepend=cumulated[:1])


def plot_Hist(folder: Path) -> list[Path]:
    """Relative RMSE between the two processes: mean and standard deviation per layer."""
    arrays = read_arrays(folder)
    if "rmse_S" not in arrays:
        return []
    figure = new_figure(figsize=(7.0, 3.4))
    draw_mismatch(figure, arrays)
    say_settling(figure, "BPTT against EP", arrays)
    return save(figure, folder, "rmse")


def compute_Hist(
    gradients: Sequence[np.ndarray], updates: Sequence[np.ndarray]
) -> tuple[list[float], list[float]]:
    """Relative RMSE between two processes: mean and standard deviation (N - 1) per layer.

    Args:
        gradients, updates: per layer (K, ...), whole curves as `--save-full` stores them.
    """
    mean, std = [], []
    for pair in zip(gradients, updates, strict=True):
        a, c = (curves.astype(np.float64) for curves in pair)  # squares of float32 may vanish
        scale = np.maximum((a * a).sum(0), (c * c).sum(0))
        error = ((a - c) ** 2).sum(0)
        values = np.sqrt(np.divide(error, scale, out=np.zeros_like(error), where=scale > 0))
        mean.append(float(values.mean()))
        std.append(float(values.std(ddof=1)))
    return mean, std


# All of them -------------------------------------------------------------------------------------


def plot_audit(folder: Path) -> list[Path]:
    """The updates of every nudge and solver beside the exact gradient."""
    arrays = read_arrays(folder)
    if "audit_rows" not in arrays:
        return []
    figure = new_figure(figsize=(9.0, 1.6 + 0.28 * len(arrays["audit_rows"])))
    draw_audit(figure, arrays)
    return save(figure, folder, "audit")


PANELS = {  # by the figure's name: what is recorded, and what draws it
    "corrections": (("correction",), draw_corrections),
    "mse": (("mse_free", "mse_nudged"), draw_mse),
    "convergence": (("residual",), draw_convergence),
}
EACH = {  # by the figure's name: what is recorded, inches, and what draws it
    "mean_dW": ("mean_dW", (6.2, 5.4), draw_dW),
    "weights": ("admissible", (5.4, 4.6), draw_weights),
    "graph": ("admissible", (6.0, 4.6), draw_best),
    "decision": ("decision", (8.6, 4.0), draw_decision),
    "angle": ("angle", (6.4, 3.8), draw_angles),
}
FIGURES = {"results": plot_results, "accuracy": plot_accuracy}
FIGURES |= {name: partial(plot_panels, name=name) for name in PANELS}
FIGURES |= {name: partial(plot_each, name=name) for name in EACH}
FIGURES |= {"neurons": plot_S, "synapses": plot_T, "rmse": plot_Hist, "trials": plot_trials}
FIGURES |= {
    "comparison": plot_comparison,
    "sweep": plot_sweep,
    "measures": plot_measures,
    "audit": plot_audit,
}


def plot_folder(folder: str | Path) -> list[Path]:
    """Draw every figure a result folder has data for; return the files written.

    A figure that cannot be drawn is a warning, and costs no other one.

    Raises:
        ImportError: matplotlib is missing.
    """
    written = []
    for name, plot in FIGURES.items():
        try:
            written += plot(Path(folder))
        except ImportError:
            raise
        except Exception as error:  # whatever is wrong with the numbers of this one
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"warning: no figure {name} of {folder}: {reason}", file=sys.stderr)
    return written


def compare(folders: Sequence[Path], place: Path) -> list[Path]:
    """Draw the trainings in these folders, or below, in one figure; print in what they differ.

    Raises:
        ValueError: a folder holds no training, or they are too many.
    """
    runs = list(dict.fromkeys(run for folder in folders for run in trainings_below(folder)))
    for folder in folders:
        if not trainings_below(folder):
            raise ValueError(f"{folder} holds no training: there is no {METRICS} in it or below")
    written = plot_compared(runs, place)
    for name, options in zip(names_of(runs), differences(runs), strict=True):
        said = ", ".join(f"{k} {v}" for k, v in options.items()) or "no option differs"
        print(textwrap.fill(f"{name}: {said}", 100, subsequent_indent="    "))
    return written


class OneLine(argparse.ArgumentParser):
    """A mistake is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what the folders hold; return the exit status."""
    parser = OneLine(
        prog="plotFunctions.py",
        usage="python plotFunctions.py [FOLDER | PARENT | RUN RUN ...]",
        description="Draw the figures of result folders from what is on disk. Of one folder: all "
        "that it has data for. Of a folder of folders, or of several: the errors of all trainings "
        "in one figure (compared.png), with the options in which they differ.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER",
        default=[Path(__file__).resolve().parent],
        help="a run, or a folder of runs, which gets its figures; of several folders the present "
        "one gets them; left out: the folder that this file lies in",
    )  # fmt: skip
    folders = parser.parse_args(argv).folders
    try:
        for folder in folders:
            if not folder.is_dir():
                parser.error(f"there is no folder {folder}")
        alone = len(folders) == 1
        if alone and any((folders[0] / name).exists() for name in (METRICS, SUMMARY, ARRAYS)):
            written = plot_folder(folders[0])
        else:
            written = compare(folders, folders[0] if alone else Path())
    except ImportError:
        parser.error("figures need matplotlib: pip install matplotlib")
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error) if type(error) is ValueError else f"{error!r}")
    if not written:
        parser.error(f"there is nothing to draw in {folders[0]}")
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
