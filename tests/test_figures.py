"""Figures of result folders: what is drawn and in which colours; one failing costs no other."""

import csv
import json
import runpy
import subprocess
import sys

import commands
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import plotFunctions
from drawing.compared import colours_of
from drawing.directed import MOST_EDGES, NEGATIVE, POSITIVE, draw_graph, in_graph, spread_of
from drawing.skips import PIXELS, coarse, draw_pairs
from drawing.style import COLOURS
from drawing.sweeps import option_axis
from records.names import COLUMNS
from runFolder import RunFolder

pytestmark = pytest.mark.long

pytestmark = pytest.mark.figures


def make_folder(place, errors, arrays=None, validation=None):
    """A folder of a training: the test errors by method; the training errors are half of them."""
    place.mkdir(parents=True)
    rows = []
    for method, each in errors.items():
        for epoch, error in enumerate(each, 1):
            row = dict(zip(COLUMNS, (epoch, method, error / 2, error, 0.1, 1.0), strict=True))
            rows.append(row | ({"validation_error": validation[epoch - 1]} if validation else {}))
    run = RunFolder(place)
    run.write_metrics(rows)
    run.write_arrays({"error_unit": np.array("%"), "lr_tab": np.array([0.1]), **(arrays or {})})
    return place


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
    blue, red = COLOURS["EP"], COLOURS["BPTT"]
    assert blue != red
    assert lines_of(saved["results"].axes[0]) == {
        "EP train": (blue, "--"), "EP test": (blue, "-"),
        "BPTT train": (red, "--"), "BPTT test": (red, "-"),
    }  # fmt: skip
    both = {"BrainProp": [9.0, 8.0], "EBP": [7.0, 6.0]}
    plotFunctions.plot_folder(make_folder(tmp_path / "b", both))
    lines = {name: lines_of(saved[name].axes[0]) for name in ("results", "accuracy")}
    for label in ("BrainProp train", "BrainProp test", "EBP train", "EBP test"):
        assert lines["results"][label] == lines["accuracy"][label]
    assert lines["results"]["EBP test"] == (red, "-")


def test_where_training_and_test_data_are_one_a_single_curve_says_so(tmp_path, saved):
    folder = make_folder(tmp_path / "a", {"DEEP": [0.0, 0.0], "EP": [4.0, 0.0]})
    plotFunctions.plot_results(folder)
    assert set(lines_of(saved["results"].axes[0])) == {
        "DEEP train and test", "EP train", "EP test"
    }  # fmt: skip


def test_one_epoch_has_one_tick_and_a_marker_inside_the_frame(tmp_path, saved):
    plotFunctions.plot_results(make_folder(tmp_path / "a", {"EP": [0.0]}))
    axes = saved["results"].axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    assert axes.get_ylim()[0] < 0 < axes.get_ylim()[1]
    plotFunctions.plot_results(make_folder(tmp_path / "b", {"EP": [9.0]}))
    train, test = saved["results"].axes[0].lines
    assert train.get_markerfacecolor() == "none" != test.get_markerfacecolor()


def test_no_legend_lies_on_a_curve(tmp_path, saved):
    errors = {"EP": [50.0, 50.0, 3.0], "BPTT": [1.0, 50.0, 50.0]}
    deep = directed_arrays() | {"DEEP_mse_free": np.random.RandomState(0).rand(9, 1, 2)}
    deep |= {"DEEP_mse_nudged": deep["DEEP_mse_free"], "DEEP_residual": deep["DEEP_mse_free"]}
    plotFunctions.plot_folder(make_folder(tmp_path / "a", errors))
    plotFunctions.plot_folder(make_folder(tmp_path / "b", {"DEEP": [9.0, 1.0]}, deep))
    plotFunctions.plot_folder(swept(tmp_path / "Runs-1", ("0", "0.1", "0.5"), ("EP", "BPTT")))
    for name in ("results", "mse", "convergence", "trials", "sweep"):
        figure = saved[name]
        figure.draw_without_rendering()
        boxes = [axes.get_window_extent() for axes in figure.axes]
        legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
        assert legends, name
        for one in (legend.get_window_extent() for legend in legends):
            assert not any(one.overlaps(box) for box in boxes), name
            assert figure.bbox.x0 <= one.x0 and one.x1 <= figure.bbox.x1, name
            assert figure.bbox.y0 <= one.y0 and one.y1 <= figure.bbox.y1, name


def test_the_headline_is_whole_and_the_band_has_a_name(tmp_path, saved):
    settling = "free phase NOT settled after T 1500: " + "largest change " * 12
    arrays = {"layers": np.array(["s0"]), "synapses": np.array(["W0x"]), "nS_s0": np.ones((3, 2))}
    arrays |= {"dS_s0": np.ones((3, 2)), "settling": np.array(settling), "rmse_S": np.ones((1, 2))}
    arrays |= {"rmse_T": np.ones((1, 2))}
    plotFunctions.plot_folder(make_folder(tmp_path / "a", {"EP": [9.0]}, arrays))
    figure = saved["rmse"]
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert " ".join(figure._suptitle.get_text().split()).endswith(settling.strip())
    plotFunctions.plot_folder(swept(tmp_path / "Runs-1", ("0.1", "0.5"), ("EP",)))
    assert "one standard deviation" in saved["trials"].legends[0].get_title().get_text()


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
    blue, red = COLOURS["EP"], COLOURS["BPTT"]
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
    where = option_axis(axes, "bypass_p", set(values))
    assert list(where) == list(values) and list(where.values()) == pytest.approx(places)
    assert axes.get_xscale() == scale and axes.get_xlabel() == "bypass p"
    if scale == "log":  # 0 stands on no tick of another number
        assert [text.get_text() for text in axes.get_xticklabels()] == list(values)
        assert list(axes.get_xticks()) == pytest.approx(places)


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
    assert colours == [POSITIVE, NEGATIVE, POSITIVE]
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


def test_of_a_large_graph_the_strongest_connections_are_drawn_and_it_says_so():
    W = np.arange(576.0).reshape(24, 24)
    axes = Figure().subplots()
    draw_graph(axes, W, [*["input"] * 2, "one", *["hidden"] * 20, "output"])
    assert len(axes.patches) == MOST_EDGES
    said = in_graph(W)
    assert said == f"575 connections, the {MOST_EDGES} strongest drawn"
    places = axes.collections[0].get_offsets()
    assert len({tuple(place) for place in np.round(places, 6)}) == 24


def test_a_rule_keeps_its_colour_whoever_it_is_compared_with():
    few, many = colours_of(["BPTT", "mine"]), colours_of(["EP", "coupled", "BPTT", "mine", "yours"])
    assert few["BPTT"] == many["BPTT"] and few["EP"] == many["EP"]
    shown = [many[rule] for rule in ("EP", "coupled", "BPTT", "mine", "yours")]
    assert len(set(shown)) == 5


def test_layers_differ_in_colour_and_marker():
    axes = Figure().subplots()
    draw_pairs(axes, np.arange(3), np.ones((3, 6)))
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in axes.lines}
    assert len(looks) == len({colour for colour, _ in looks}) == len({m for _, m in looks}) == 6


def test_a_large_map_is_averaged_over_what_is_there():
    random = np.random.RandomState(0)
    values, mask = random.rand(1501, 1501), random.rand(1501, 1501) < 0.1
    shown = coarse(values, mask)
    assert max(shown.shape) <= PIXELS
    block = slice(3, 6), slice(300, 303)
    assert shown[1, 100] == pytest.approx(values[block][mask[block]].mean())
    assert np.isnan(coarse(values[:9, :9], np.zeros((9, 9), bool))).all()
    few = coarse(values[:9, :9], mask[:9, :9])
    assert np.array_equal(few, np.where(mask[:9, :9], values[:9, :9], np.nan), equal_nan=True)


def test_a_spread_knows_what_is_no_number():
    values = np.array([[[1.0, 3.0, np.nan]], [[np.nan] * 3], [[2.0, np.inf, 2.0]]])
    spread = spread_of(values)
    assert spread.tolist() == [[1, 1, 1.5, 2, 2.5, 3, 2], [3, 2, 2, 2, 2, 2, 2]]
    assert spread_of(np.full((2, 3), np.nan)).shape == (0, 7)


def test_the_copy_in_a_folder_needs_nothing_of_the_project(tmp_path):
    folder = make_folder(tmp_path / "a", {"DEEP": [50.0, 0.0]}, directed_arrays())
    RunFolder(folder).copy_plotting()
    code = "import sys; sys.modules['networkx'] = None; import runpy\n"
    code += "try: runpy.run_path('plotFunctions.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\n"
    code += "print(sorted({'torch', 'drawing', 'report'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n") and not done.stderr
    assert "graph_DEEP.png" in done.stdout and (folder / "graph_DEEP.png").exists()


def test_figures_that_are_drawn_from_a_table_have_its_numbers():
    figures = runpy.run_path(str(commands.ROOT / "scripts" / "draw_tables.py"))
    skips = {curve.label: curve for curve in figures["skips_compared"]()}
    assert set(skips) == {f"{n}, {k}" for n in ("layered", "with skips") for k in ("train", "test")}
    one = skips["with skips, test"]
    assert list(one.epochs) == list(range(1, 11)) and one.style == "-"
    assert (one.values[0], one.values[-1]) == (16.9, 13.3)
    both = {curve.label: curve.values for curve in figures["brainprop_conv"]()}
    last = both["BrainProp test"][:, -1]
    assert last.mean() == pytest.approx(100 - 98.73) and last.std(ddof=1) == pytest.approx(0.09)
    solvers = {curve.label: curve for curve in figures["relaxed_and_stepped"]()}
    assert len(solvers) == 6 and solvers["P-3h, stepped"].values[-1] == 12.1
    conv = solvers["P-conv, relaxed"].values
    assert np.isfinite(conv).sum() == 5 and conv[4] == 6.7


# The command line ----------------------------------------------------------------------------


def chosen(place, **options):
    """A training of EP and BPTT with these options on record."""
    folder = make_folder(place, {"EP": [9.0, options["beta"]], "BPTT": [7.0, 6.0]})
    record = {"options": {"dataset": "digits", "results_dir": str(place)} | options}
    (folder / "hyperparameters.json").write_text(json.dumps(record))
    return folder


def draws(*folders):
    """What the command line answers: the status."""
    try:
        return plotFunctions.main([str(folder) for folder in folders])
    except SystemExit as end:
        return end.code


def test_chosen_runs_are_compared_a_line_per_run_and_method(tmp_path, saved, capsys):
    one = chosen(tmp_path / "x" / "Trial-1", beta=0.1, sizes=[10, 64], clamp=True)
    two = chosen(tmp_path / "y" / "Trial-1", beta=0.2, sizes=[10, 64], clamp=False)
    assert draws(one, two) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["x: beta 0.1, clamp on", "y: beta 0.2, clamp off"]
    axes = saved["compared"].axes[0]
    assert set(lines_of(axes)) == {
        f"beta {beta}, clamp {clamp} {method}"
        for beta, clamp in ((0.1, "on"), (0.2, "off"))
        for method in ("EP", "BPTT")
    }
    solid = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [line.get_xdata().tolist() for line in solid] == [[1, 2]] * 4
    assert [line.get_marker() for line in solid] == ["o", "s"] * 2
    assert len({line.get_color() for line in solid}) == 4
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 4  # the training errors

    assert draws(tmp_path) == 0  # the folder above them
    assert capsys.readouterr().out.splitlines()[0] == "x: beta 0.1, clamp on"
    assert draws(one, one) == 0
    assert capsys.readouterr().out.startswith("Trial-1: no option differs\n")


def test_runs_of_two_methods_are_named_by_them_once(tmp_path, saved):
    for method in ("EP", "BPTT"):
        folder = make_folder(tmp_path / method / "Trial-1", {method: [3.0, 2.0]})
        record = {"options": {"training_method": method}}
        (folder / "hyperparameters.json").write_text(json.dumps(record))
    assert draws(tmp_path) == 0
    assert set(lines_of(saved["compared"].axes[0])) == {"EP", "BPTT"}


def test_runs_with_errors_in_other_units_stand_in_panels_of_their_own(tmp_path, saved):
    one = chosen(tmp_path / "a", beta=0.1)
    two = make_folder(tmp_path / "b", {"EP": [0.3]}, {"error_unit": np.array("half squared error")})
    assert draws(one, two) == 0
    labels = [axes.get_ylabel() for axes in saved["compared"].axes]
    assert labels == ["error (%)", "error (half squared error)"]


def test_folders_that_cannot_be_drawn_are_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    many = tmp_path / "many"
    for k in range(13):
        chosen(many / f"Trial-{k}", beta=0.1 * k)
    broken = make_folder(tmp_path / "broken", {"EP": [1.0]})
    (broken / "metrics.csv").write_text("epoch,method\n1,EP\n")
    for folders, expected in (
        (["nowhere"], "there is no folder nowhere"),
        ([tmp_path / "empty"], "empty holds no training: there is no metrics.csv in it or below"),
        ([tmp_path / "empty", broken], "empty holds no training"),
        ([many], "26 lines are too many for one figure: choose 24"),
        ([broken, many / "Trial-1"], "KeyError"),
        (["--all"], "unrecognized arguments: --all"),
    ):
        assert draws(*folders) == 2
        said = capsys.readouterr().err
        assert said.startswith("plotFunctions.py: error: ") and said.count("\n") == 1
        assert expected in said
    assert draws("--help") == 0 and "RUN" in capsys.readouterr().out
