"""Figures of result folders: what is drawn and in which colours; one failing costs no other."""

import csv
import subprocess
import sys

import commands
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import plotFunctions
from runFolder import METRICS, RunFolder

pytestmark = pytest.mark.figures


def make_folder(place, errors, arrays=None, validation=None):
    """A folder of a training: the test errors by method; the training errors are half of them."""
    place.mkdir(parents=True)
    rows = []
    for method, each in errors.items():
        for epoch, error in enumerate(each, 1):
            row = dict(zip(METRICS, (epoch, method, error / 2, error, 0.1, 1.0), strict=True))
            rows.append(row | ({"validation_error": validation[epoch - 1]} if validation else {}))
    run = RunFolder(place)
    run.write_metrics(rows)
    run.write_arrays({"error_unit": np.array("%"), "lr_tab": np.array([0.1]), **(arrays or {})})
    return place


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved, by their names; nothing is written."""
    figures = {}

    def keep(figure, folder, name):
        figures[name] = figure
        return [folder / f"{name}.png"]

    monkeypatch.setattr(plotFunctions, "save", keep)
    return figures


def lines_of(axes):
    """Colour and style of each labelled line, by the label without its last value."""
    found = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        line = getattr(handle, "lines", [handle])[0]  # of error bars
        found[label.partition(" (")[0]] = to_hex(line.get_color()), line.get_linestyle()
    return found


def directed_arrays(n=5):
    W = np.zeros((2, n, n))
    W[1, 0, 4], W[1, 3, 4], W[1, 4, 3] = 1.5, -0.5, 0.25
    mask = np.ones((n, n))
    mask[:, :3] = 0
    return {
        "DEEP_W": W,
        "DEEP_admissible": mask,
        "DEEP_learnt": np.array([False, True]),
        "DEEP_final_sparsity": np.array([100.0, 80.0]),
        "DEEP_final_mse": np.array([0.5, 0.0]),
        "DEEP_patterns": np.zeros((4, 2)),
        "DEEP_targets": np.zeros((4, 1)),
    }


def test_colours_tell_the_rules_and_styles_the_data_in_every_figure(tmp_path, saved):
    errors = {"EP": [9.0, 8.0], "BPTT": [7.0, 6.0]}
    make_folder(tmp_path / "a", errors)
    plotFunctions.plot_folder(tmp_path / "a")
    plotFunctions.plot_folder(tmp_path)
    blue, red = plotFunctions.COLOURS["EP"], plotFunctions.COLOURS["BPTT"]
    assert blue != red
    assert lines_of(saved["results"].axes[0]) == {
        "EP train": (blue, "--"), "EP test": (blue, "-"),
        "BPTT train": (red, "--"), "BPTT test": (red, "-"),
    }  # fmt: skip
    styles = {label: style for label, (_, style) in lines_of(saved["compared"].axes[0]).items()}
    assert styles == {
        "a EP train": "--", "a EP test": "-", "a BPTT train": "--", "a BPTT test": "-"
    }  # fmt: skip


def test_the_star_stands_at_the_recorded_epoch(tmp_path, saved):
    errors, validation = {"BrainProp": [5.0, 1.0, 0.9, 0.95]}, [6.0, 2.0, 1.95, 1.9]
    kept = {"BrainProp_kept_epoch": np.array(2)}
    make_folder(tmp_path / "new", errors, kept, validation)
    make_folder(tmp_path / "old", errors)
    for name, epoch, height in (("new", 2, 99.0), ("old", 4, 99.05)):
        plotFunctions.plot_accuracy(tmp_path / name)
        axes = saved["accuracy"].axes[0]
        [star] = [line for line in axes.lines if line.get_marker() == "*"]
        assert (star.get_xdata(), star.get_ydata()) == ([epoch], [pytest.approx(height)])
        assert f"BrainProp kept, epoch {epoch}" in lines_of(axes)
        assert ("BrainProp validation" in lines_of(axes)) is (name == "new")


def write_summary(folder, rows):
    with (folder / "summary.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def swept(folder, values, methods, option="beta"):
    """A folder of many runs: every value with two seeds, errors that follow from them."""
    rows = []
    for k, value in enumerate(values):
        for seed in (0, 1):
            name = f"{option}={value},seed={seed}"
            errors = {m: [90.0, 10.0 * (n + 1) + k + seed] for n, m in enumerate(methods)}
            make_folder(folder / name, errors)
            for method in methods:
                about = {"run": name, option: value, "seed": seed, "status": "done"}
                last = errors[method][-1]
                result = {"method": method, "epochs": 2, "train_error": last / 2}
                rows.append(about | result | {"test_error": last})
    write_summary(folder, rows)
    return folder


def test_a_swept_benchmark_shows_both_methods(tmp_path, saved):
    plotFunctions.plot_folder(swept(tmp_path / "Runs-1", ("0.1", "0.5"), ("EP", "BPTT")))
    axes = saved["sweep"].axes[0]
    blue, red = plotFunctions.COLOURS["EP"], plotFunctions.COLOURS["BPTT"]
    assert lines_of(axes) == {
        "EP train error": (blue, "--"), "EP test error": (blue, "-"),
        "BPTT train error": (red, "--"), "BPTT test error": (red, "-"),
    }  # fmt: skip
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    for method, first in (("EP", 10.5), ("BPTT", 20.5)):
        x, y = handles[f"{method} test error"].lines[0].get_data()
        assert list(x) == [0.1, 0.5] and list(y) == [first, first + 1]
    assert {"beta 0.1, EP test", "beta 0.5, BPTT test"} <= set(lines_of(saved["trials"].axes[0]))


@pytest.mark.parametrize(
    "values, scale, places",
    [
        (("0", "0.001", "0.1"), "log", [1e-5, 1e-3, 0.1]),
        (("1", "2", "3"), "linear", [1, 2, 3]),
        (("10,4", "10,8"), "linear", [0, 1]),
    ],
)
def test_values_of_an_option_have_their_places(values, scale, places):
    axes = Figure().subplots()
    where = plotFunctions.option_axis(axes, "bypass_p", set(values))
    assert list(where) == list(values) and list(where.values()) == pytest.approx(places)
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == "bypass p" + " (leftmost: 0)" * (values[0] == "0")


def test_one_failing_figure_costs_no_other(tmp_path, capsys):
    arrays = directed_arrays() | {"DEEP_W": np.zeros(3), "DEEP_mse_free": np.ones((2, 1, 2))}
    arrays |= {"DEEP_mse_nudged": np.ones((2, 1, 2))}
    make_folder(tmp_path / "a", {"DEEP": [50.0, 0.0]}, arrays)
    written = {path.name for path in plotFunctions.plot_folder(tmp_path / "a")}
    assert written == {f"{name}.{kind}" for name in ("results", "mse") for kind in ("png", "pdf")}
    assert written == {path.name for path in (tmp_path / "a").glob("*.p[nd]*")}
    said = capsys.readouterr().err.splitlines()
    for line, name in zip(said, ("weights", "graph"), strict=True):
        assert line.startswith(f"warning: no figure {name} of ")


def test_a_program_whose_figure_fails_ends_well(tmp_path, monkeypatch, capsys):
    def fail(folder):
        raise ValueError("no\nnumbers")

    monkeypatch.setitem(plotFunctions.FIGURES, "results", fail)
    small = [*commands.SMALL, "--epochs", 2, "--trials", 2, "--results-dir", tmp_path]
    commands.call(*small)
    said = capsys.readouterr()
    assert "trials.png" in said.out and "results.png" not in said.out
    assert said.err.count("warning: no figure results") == 1
    assert "ValueError: no\n" in said.err


def test_positive_weights_are_blue_in_map_and_graph(tmp_path, saved):
    from matplotlib.patches import FancyArrowPatch

    make_folder(tmp_path / "a", {"DEEP": [0.0]}, directed_arrays())
    plotFunctions.plot_folder(tmp_path / "a")
    image = saved["weights_DEEP"].axes[0].images[0]
    high, low = image.cmap(image.norm(1.5)), image.cmap(image.norm(-1.5))
    assert high[2] > high[0] and low[0] > low[2]
    axes = saved["graph_DEEP"].axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3  # of the network that has learnt
    colours = [to_hex(arrow.get_facecolor()) for arrow in arrows]
    assert colours == [plotFunctions.POSITIVE, plotFunctions.NEGATIVE, plotFunctions.POSITIVE]
    opacity = [arrow.get_alpha() for arrow in arrows]
    assert opacity == sorted(opacity, reverse=True) and opacity[0] == 1
    assert [text.get_text() for text in axes.texts] == ["0", "1", "+1", "3", "4"]


def test_actions_that_measure_different_things_share_a_figure(tmp_path, saved):
    rows = [
        {"run": f"a={k}", "action": name, "seed": 0, "status": "done", "method": "EP",
         "rmse_neurons": rmse, "cosine": 0.5}
        for k, (name, rmse) in enumerate((("plotcurves", 0.1), ("receipe", "")))
    ]  # fmt: skip
    write_summary(tmp_path, rows)
    plotFunctions.plot_folder(tmp_path)
    panels = saved["measures"].axes
    texts = [[text.get_text() for text in axes.get_xticklabels()] for axes in panels]
    assert texts == [["plotcurves"], ["plotcurves", "receipe"]]


def test_only_the_strongest_connections_are_drawn_if_asked():
    W = np.arange(1.0, 26.0).reshape(5, 5) * (1 - np.eye(5))
    axes = Figure().subplots()
    plotFunctions.draw_graph(axes, W, ["input", "one", "hidden", "hidden", "output"], most=4)
    assert len(axes.patches) == 4


def test_a_spread_knows_what_is_no_number():
    values = np.array([[[1.0, 3.0, np.nan]], [[np.nan] * 3], [[2.0, np.inf, 2.0]]])
    spread = plotFunctions.spread_of(values)
    assert spread.tolist() == [[1, 1, 1.5, 2, 2.5, 3, 2], [3, 2, 2, 2, 2, 2, 2]]
    assert plotFunctions.spread_of(np.full((2, 3), np.nan)).shape == (0, 7)


def test_the_copy_in_a_folder_needs_nothing_of_the_project(tmp_path):
    folder = make_folder(tmp_path / "a", {"DEEP": [50.0, 0.0]}, directed_arrays())
    RunFolder(folder).copy_plotting()
    code = "import sys; sys.modules['networkx'] = None; import runpy\n"
    code += "runpy.run_path('plotFunctions.py', run_name='__main__')\n"
    code += "print(sorted({'torch', 'runFolder', 'report'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n") and not done.stderr
    assert "graph_DEEP.png" in done.stdout and (folder / "graph_DEEP.png").exists()
