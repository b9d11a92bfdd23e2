"""The report: what is beside what, nothing is fatal, and the page is one whole file."""

import csv
import datetime
import functools
import html.parser
import json
import os
import re
import shutil
import statistics
import time
import urllib.parse

import commands
import numpy as np
import pytest

from commandLine import parse
from commandLine.settings import fitted, recorded_options
from errors import RunError
from records.names import COLUMNS
from report.experiments import Sizes, experiments_of, options_of_presets
from report.figures import MOST_DRAWINGS, Drawing, figures_of, svg_of
from report.reader import read_results
from report.tables import write_report
from runFolder import RunFolder
from systems import PRESETS

pytestmark = pytest.mark.long

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
P_1H = "--discrete --size_tab 10 512 784 --lr_tab .04 .08 --beta .1 --epochs 30"
P_1H += " --solver relax --Kmax 15"
PUBLISHED = "--preset P-1h-published"


# Synthetic folders ---------------------------------------------------------------------------


@functools.cache
def options_for(words: str):
    """What a run with these words records."""
    args = parse(words.split())
    if args.network_type:
        args = fitted(args, Sizes((args.size_tab[-1],), args.size_tab[0]))
    return recorded_options(args)


def make_run(folder, words, errors, unit="%", started=0, seconds=2.0, arrays=None, **changes):
    """A run folder as the program writes it.

    Args:
        errors: by method, the test errors of the epochs; the training errors are half of them.
        started: seconds after noon.
    """
    folder.mkdir(parents=True)
    options = options_for(words) | changes
    record = {
        "title": "training",
        "options": options,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "command": f"python main.py {words} --seed {options['seed']}",
        "commit": "c0ffee",
        "machine": "x86_64, 2 cores, Linux",
        "started": (NOW + datetime.timedelta(seconds=started)).isoformat(),
    }
    (folder / "hyperparameters.json").write_text(json.dumps(record))
    rows = [
        dict(zip(COLUMNS, (epoch, method, e / 2, e, e / 100, seconds), strict=True))
        for method, each in errors.items()
        for epoch, e in enumerate(each, 1)
    ]
    run = RunFolder(folder)
    run.write_metrics(rows)
    run.write_arrays({"error_unit": np.array(unit), "lr_tab": np.array([0.1]), **(arrays or {})})
    return folder


def report_of(root, *more):
    """The texts of a report, by kind; every relative link in the page leads somewhere."""
    paths = write_report([root, *more], NOW)
    texts = {path.suffix[1:]: path.read_text() for path in paths}
    assert [path.name for path in paths] == ["report.html", "report.md", "report.csv"]
    check_page(texts["html"], root)
    widths = re.findall(r"^\|.*\|$", texts["md"], re.M)
    assert all(line.count("|") > 3 for line in widths)
    return texts


def csv_rows(texts):
    return list(csv.DictReader(texts["csv"].splitlines()))


def table_row(texts, label):
    """Cells of the first row of the page's tables whose heading has this text."""
    for row in re.findall(r"<tr>.*?</tr>", texts["html"], re.S):
        cells = [plain(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        if cells and cells[0] == label:
            return cells
    raise AssertionError(f"no row {label}")


def plain(text):
    without = re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", text, flags=re.S)
    return " ".join(html.unescape(without).split())


def only(root):
    [one] = experiments_of(read_results([root]).runs)
    return one


class Page(html.parser.HTMLParser):
    """Asserts that tags are balanced, and collects what a browser would load or link."""

    VOID = {"meta", "br", "circle", "path", "polyline", "polygon"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.loads = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values["href"]] if "href" in values else []
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [values[name] for name in ("src", "srcset", "data", "action", "poster")
                       if name in values]  # fmt: skip
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())


def check_page(text, root):
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == [] and len(set(page.ids)) == len(page.ids)
    assert not page.loads and not {"link", "script", "img", "iframe"} & set(page.tags)
    assert "@import" not in text and "<style>" not in text.partition("</style>")[2]
    for used in re.findall(r"url\(([^)]*)\)", text):
        assert used[0] == "#" and used[1:] in page.ids, used
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:
            assert link.startswith("./"), link
            assert (root / os.fsdecode(urllib.parse.unquote_to_bytes(link))).exists(), link


# What stands beside what ---------------------------------------------------------------------


def test_a_typed_run_is_recognised_as_a_published_one(tmp_path):
    make_run(tmp_path / "a" / "Trial-1", P_1H, {"EP": [5.0] * 29 + [1.9]})
    texts = report_of(tmp_path)
    cells = table_row(texts, "P-1h")
    assert cells[:4] == ["P-1h", "EP", "2.00 ± 0.13 % †", "1.90 %"]
    assert cells[4:8] == ["0.20 % †", "0.95 %", "1", "30"]
    [row] = [r for r in csv_rows(texts) if r["measure"] == "test_error"]
    assert (row["paper"], row["paper_std"], row["paper_confirmed"]) == ("2.00", "0.13", "memory")
    assert (row["measured"], row["std"], row["n"], row["partial"]) == ("1.9", "", "1", "False")
    assert (
        row["seconds"] == "60.0" and row["folders"] == "a/Trial-1" and "--Kmax 15" in row["command"]
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_recognised(name, tmp_path):
    published = options_of_presets()[name]
    method = published.methods[-1]
    make_run(tmp_path / "Trial-1", f"--preset {name}", {method: [3.0]})
    found = experiments_of(read_results([tmp_path]).runs)[0]
    assert options_of_presets()[found.preset].options == published.options
    assert found.results == [r for r in found.results if r.method == method]


@pytest.mark.parametrize("words", [PUBLISHED, "--preset deep-and", "--preset brainprop-mnist-conv"])
def test_a_record_from_before_there_were_solvers_is_recognised(tmp_path, words):
    method = {"--preset deep-and": "DEEP"}.get(words, "BrainProp" if "brain" in words else "EP")
    path = make_run(tmp_path / "Trial-1", words, {method: [2.0]}) / "hyperparameters.json"
    new, record = only(tmp_path), json.loads(path.read_text())
    for name in ("solver", "omega", "max_sweeps"):
        del record["options"][name]
    path.write_text(json.dumps(record))
    assert new.preset and (only(tmp_path).key, only(tmp_path).preset) == (new.key, new.preset)


@pytest.mark.parametrize(
    "words, label",
    [
        (P_1H.replace("--beta .1", "--beta .2"), "P-1h --beta 0.2"),
        (P_1H + " --dtype float64", "P-1h --dtype float64"),
        (P_1H + " --dataset fashion-mnist", "P-1h --dataset fashion-mnist"),
        ("--dataset digits --epochs 2", "--dataset digits"),
    ],
)
def test_another_option_is_another_experiment_without_a_papers_figure(tmp_path, words, label):
    make_run(tmp_path / "Trial-1", words, {"EP": [3.0, 2.0]}, lr_tab=[0.04, 0.08])
    one = only(tmp_path)
    assert one.label.startswith(label) and not one.preset and not one.results
    cells = table_row(report_of(tmp_path), one.label)
    assert cells[2] == "-" and cells[4] == "-"


def test_machine_seed_and_places_are_no_part_of_an_experiment(tmp_path):
    for seed, words in enumerate(("--threads 2", "--data-dir elsewhere", "--compile")):
        make_run(tmp_path / f"Trial-{seed}", f"{PUBLISHED} {words}", {"EP": [2.0] * 30}, seed=seed)
    one = only(tmp_path)
    assert one.preset == "P-1h-published" and len(one.counted) == 3
    text = report_of(tmp_path)["html"]
    assert "<dt>A</dt>" in text and "<dt>B</dt>" in text and "2 threads" in text


def test_seeds_are_averaged_with_n_minus_1(tmp_path):
    errors = [1.5, 2.0, 4.0]
    for seed, error in enumerate(errors):
        make_run(tmp_path / f"Trial-{seed}", P_1H, {"EP": [9.0] * 29 + [error]}, seed=seed)
    texts = report_of(tmp_path)
    [row] = [r for r in csv_rows(texts) if r["measure"] == "test_error"]
    assert float(row["measured"]) == pytest.approx(statistics.mean(errors))
    assert float(row["std"]) == pytest.approx(statistics.stdev(errors)) and row["n"] == "3"
    assert table_row(texts, "P-1h")[3] == "2.50 ± 1.32 %"


def test_a_seed_that_was_run_twice_counts_once_and_says_so(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [3.0] * 30}, started=10)
    make_run(tmp_path / "Trial-2", P_1H, {"EP": [2.0] * 30}, started=5)
    make_run(tmp_path / "Trial-3", P_1H, {"EP": [1.0] * 7}, started=90)  # the newest, unfinished
    one = only(tmp_path)
    assert [trial.run.folder.name for trial in one.counted] == ["Trial-1"]
    assert {trial.run.folder.name for trial in one.repeated} == {"Trial-2", "Trial-3"}
    texts = report_of(tmp_path)
    assert table_row(texts, "P-1h")[6] == "1 2 repeated"
    assert "same seed again, not counted" in texts["html"] and "not counted" in texts["md"]


def test_both_methods_of_a_benchmark_are_beside_their_own_figures(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H + " --benchmark", {"EP": [1.9] * 30, "BPTT": [1.8] * 30})
    rows = [r for r in csv_rows(report_of(tmp_path)) if r["measure"] == "train_error"]
    assert [(r["method"], r["paper"]) for r in rows] == [("EP", "0.20"), ("BPTT", "0.55")]


def test_fewer_epochs_than_the_papers_are_marked(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [4.0, 3.0]})
    texts = report_of(tmp_path)
    cells = table_row(texts, "P-1h")
    assert cells[2:4] == ["2.00 ± 0.13 % † epoch 30", "3.00 % ‡"] and cells[7] == "2 of 30"
    assert "EP 2 of 30 epochs" in texts["md"]


def test_unfinished_seeds_do_not_count_beside_finished_ones(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [2.0] * 30}, seed=0)
    make_run(tmp_path / "Trial-2", P_1H, {"EP": [9.0] * 3}, seed=1)
    cells = table_row(report_of(tmp_path), "P-1h")
    assert cells[3] == "2.00 %" and cells[6] == "1 1 unfinished"


def test_unfinished_seeds_alone_are_compared_at_their_common_epoch(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [8.0, 6.0, 1.0]}, seed=0)
    make_run(tmp_path / "Trial-2", P_1H, {"EP": [8.0, 4.0]}, seed=1)
    one = only(tmp_path)
    assert one.epoch == 2 and one.spread("test_error").mean == 5.0


def test_the_authors_log_is_read_at_the_measured_epoch(tmp_path):
    words = "--preset mnist_5layer_swni --epochs 10"
    make_run(tmp_path / "Trial-1", words, {"EP": [30.0] * 9 + [9.0]})
    cells = table_row(report_of(tmp_path), "mnist_5layer_swni")
    assert cells[2:4] == ["9.420 %", "9.00 %"] and cells[9] == "10 published: 100"
    assert "paper, EP test" in report_of(tmp_path)["html"]


def test_regression_is_in_half_squared_errors(tmp_path):
    words, unit = "--preset diabetes_5layer_swni", "half squared error"
    make_run(tmp_path / "Trial-1", words, {"EP": [0.05] * 10}, unit=unit)
    texts = report_of(tmp_path)
    cells = table_row(texts, "diabetes_5layer_swni errors: half squared error")
    assert cells[2:4] == ["0.03936", "0.0500"]
    assert csv_rows(texts)[0]["unit"] == unit
    assert ">error (half squared error)</text>" in texts["html"]


def test_the_spread_of_corrections_is_of_those_seeds_that_have_one(tmp_path):
    for seed, spread in enumerate((0.5, 0.7, -np.inf)):
        arrays = {"EP_log_spread": np.full(10, spread, np.float32)}
        words = "--preset wine_5layer_swni"
        make_run(tmp_path / f"Trial-{seed}", words, {"EP": [40.0] * 10}, arrays=arrays, seed=seed)
    cells = table_row(report_of(tmp_path), "wine_5layer_swni")
    assert cells[6:8] == ["0.689", "0.60 ± 0.14 2 of 3 seeds"]


def test_brainprop_is_compared_by_the_accuracy_of_the_kept_epoch(tmp_path):
    words = "--preset brainprop-mnist-conv --validation test --patience 3"
    errors, kept = {"BrainProp": [5.0, 0.8, 0.75, 2.0, 3.0]}, {"BrainProp_kept_epoch": np.array(2)}
    make_run(tmp_path / "Trial-1", words, errors, arrays=kept)
    one = only(tmp_path)
    assert one.finished and one.measured[0]["epochs"] == 2
    assert one.measured[0]["test_accuracy"] == pytest.approx(99.2) and not one.preset
    arrays = {"BrainProp_kept_epoch": np.array(1)}
    errors = {"BrainProp": [1.0] * 60}
    make_run(tmp_path / "b" / "Trial-1", "--preset brainprop-mnist-conv", errors, arrays=arrays)
    texts = report_of(tmp_path / "b")
    cells = table_row(texts, "brainprop-mnist-conv")
    assert cells[2:4] == ["99.31 ± 0.04 %", "99.00 %"] and cells[5:7] == ["63 ± 18", "1.0"]
    assert "60 of at most 500" in cells and "2 paper: 3 on a GTX 1080 Ti" in cells
    assert "accuracy (%)" in texts["html"]


def directed_arrays(n=4):
    W = np.zeros((n, 6, 6))
    W[:, 0, 5], W[:, 3, 4] = 1.5, -0.5
    mask = np.ones((6, 6))
    mask[:, :3] = 0
    return {
        "DEEP_learnt": np.arange(n) > 0,
        "DEEP_learnt_epoch": np.array([np.nan, 10, 20, 30]),
        "DEEP_final_mse": np.array([0.5, 0, 0, 0]),
        "DEEP_final_sparsity": np.array([99.0, 50, 93.75, 10]),
        "DEEP_stable": np.ones(n, bool),
        "DEEP_mse_free": np.linspace(0.4, 0.1, 1000)[:, None, None] * np.ones((1000, 1, n)),
        "DEEP_W": W,
        "DEEP_admissible": mask,
        "DEEP_patterns": np.zeros((4, 2)),
        "DEEP_targets": np.zeros((4, 1)),
    }


def test_directed_networks_are_counted_and_drawn(tmp_path):
    words = "--preset deep-and-sparse --num_net 4"
    make_run(tmp_path / "Trial-1", words, {"DEEP": [25.0] * 1000}, arrays=directed_arrays())
    texts = report_of(tmp_path)
    cells = table_row(texts, "deep-and-sparse")
    assert cells[2:5] == ["-", "75 %", "75 %"] and "1 × 4 networks" in cells
    assert "93.75 %" in cells[cells.index("93.75 %") + 1]  # the sparsest of those that have learnt
    assert "6 neurons, 2 connections" in texts["html"] and "MSE of the free phase" in texts["html"]
    values = {row["measure"]: row["measured"] for row in csv_rows(texts)}
    assert float(values["learnt_epoch"]) == 20 and float(values["mse"]) == 0.125


def make_sweep(folder, more=""):
    """Two seeds of each of three networks with skips, 10 epochs."""
    plan = []
    for value in ("0", "0.0001", "0.1"):
        for seed in (0, 1):
            name = f"bypass_p={value},seed={seed}"
            words = f"--preset mnist_5layer_swni --epochs 10 --bypass-p {value} {more}"
            make_run(folder / name, words, {"EP": [50.0] * 9 + [20.0 + seed]}, seed=seed)
            values = {"bypass_p": value, "seed": str(seed)}
            plan.append({"name": name, "values": values, "words": words.split()})
    (folder / "runs.json").write_text(json.dumps(plan))


@pytest.mark.parametrize("more", ["--train-samples 300", "--T 200", "--train-samples 300 --T 200"])
def test_a_sweep_that_is_cut_down_is_beside_nobody_and_says_how(tmp_path, more):
    make_sweep(tmp_path / "Runs-1", more)
    text = report_of(tmp_path)["html"]
    assert "paper, test" not in text and "paper, EP test" not in text
    [title] = re.findall(r">(Sweep of bypass_p, [^<]*)</a>", text)
    assert all(word in title.split() for word in more.split()) and "--bypass-p" not in title


def test_a_sweep_is_drawn_beside_the_authors(tmp_path):
    make_sweep(tmp_path / "Runs-1")
    texts = report_of(tmp_path)
    assert ">Sweep of bypass_p, mnist_5layer_swni</a>" in texts["html"]
    assert "paper, test" in texts["html"] and ">bypass p</text>" in texts["html"]
    assert {">0</text>", ">0.0001</text>"} <= set(re.findall(">[0-9.]+</text>", texts["html"]))
    cells = table_row(texts, "mnist_5layer_swni --bypass-p 0.0001")
    assert cells[2:4] == ["31.82 %", "20.50 ± 0.71 %"]


# Broken folders ------------------------------------------------------------------------------


def unreadable(root):
    return {p.folder.name: p.reason for p in read_results([root]).unreadable}


def test_broken_folders_are_listed_and_not_fatal(tmp_path):
    make_run(tmp_path / "good", P_1H, {"EP": [2.0] * 30})
    broken = {
        "truncated": ("hyperparameters.json", '{"options": {"se', "is not valid JSON"),
        "list": ("hyperparameters.json", "[1]", "has no options"),
        "seed": ("hyperparameters.json", '{"options": {"seed": "x"}}', "seed is 'x'"),
        "method": ("hyperparameters.json", '{"options": {"training_method": "x"}}', "is unknown"),
        "letters": ("metrics.csv", "epoch,method,a\n1,EP,2\n", "has no column 'train_error'"),
        "words": ("metrics.csv", f"{','.join(COLUMNS)}\n1,EP,a,b,c,d\n", "line 2 is no row"),
        "endless": ("metrics.csv", f"{','.join(COLUMNS)}\ninf,EP,1,1,1,1\n", "line 2 is no row"),
        "short": ("metrics.csv", f"{','.join(COLUMNS)}\n1,EP\n2,EP\n", "line 2 is no row"),
        "other": ("metrics.csv", f"{','.join(COLUMNS)}\n1,X,1,1,1,1\n", "line 2 is no row"),
        "garbage": ("results.npz", "no archive", "results.npz cannot be read"),
        "empty": ("results.npz", "", "results.npz cannot be read"),
    }
    for name, (file, text, _) in broken.items():
        shutil.copytree(tmp_path / "good", tmp_path / name)
        (tmp_path / name / file).write_text(text)
    shutil.copytree(tmp_path / "good", tmp_path / "cut")
    content = (tmp_path / "good" / "results.npz").read_bytes()
    (tmp_path / "cut" / "results.npz").write_bytes(content[: len(content) // 2])
    for name, file in (("no-npz", "results.npz"), ("no-record", "hyperparameters.json")):
        shutil.copytree(tmp_path / "good", tmp_path / name)
        (tmp_path / name / file).unlink()
    (tmp_path / "Trial-7").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("a foreign folder")
    reasons = unreadable(tmp_path)
    expected = {name: said for name, (_, _, said) in broken.items()}
    expected |= {"cut": "cannot be read", "no-npz": "results.npz is missing"}
    expected |= {"no-record": "hyperparameters.json is missing"}
    expected |= {"Trial-7": "hyperparameters.json is missing"}
    assert set(reasons) == set(expected)
    for name, said in expected.items():
        assert said in reasons[name], (name, reasons[name])
    texts = report_of(tmp_path)
    assert table_row(texts, "P-1h")[3] == "2.00 %" and "is not valid JSON" in texts["html"]


def test_half_a_row_is_left_out_and_said(tmp_path):
    folder = make_run(tmp_path / "Trial-1", P_1H, {"EP": [5.0, 4.0, 3.0]})
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(text[:-9])
    assert only(tmp_path).epoch == 2
    assert "metrics.csv ends in half a row" in report_of(tmp_path)["html"]


def test_runs_that_have_not_come_far_are_listed_as_unfinished(tmp_path):
    (make_run(tmp_path / "Trial-1", P_1H, {}) / "metrics.csv").unlink()
    make_run(tmp_path / "Trial-2", P_1H, {})
    make_run(tmp_path / "Trial-3", "--action plotcurves --discrete --size_tab 10 9 784", {})
    (tmp_path / "Trial-3" / "results.npz").unlink()
    found = read_results([tmp_path])
    reasons = {p.folder.name: p.reason for p in found.unfinished}
    assert reasons["Trial-1"] == reasons["Trial-2"] == "no epoch finished yet, 30 asked"
    assert reasons["Trial-3"] == "nothing measured yet" and not found.unreadable
    assert "no epoch finished yet" in report_of(tmp_path)["html"]


def test_runs_of_a_plan_that_failed_or_have_not_begun_are_listed(tmp_path):
    folder = tmp_path / "Runs-1"
    make_run(folder / "seed=0", P_1H, {"EP": [9.0]})
    plan = [{"name": f"seed={k}", "values": {"seed": str(k)}, "words": []} for k in range(3)]
    (folder / "runs.json").write_text(json.dumps(plan))
    rows = ("run,seed,status", "seed=0,0,failed: loss is nan", "seed=2,2,failed: no room")
    (folder / "summary.csv").write_text("\n".join(rows) + "\n")
    reasons = {p.folder.name: p.reason for p in read_results([tmp_path]).unfinished}
    assert reasons["seed=0"] == "failed: loss is nan; EP 1 of 30 epochs"
    assert reasons["Runs-1"] == "1 of 3 runs have not begun: seed=1"
    assert reasons["seed=2"] == "failed: no room" and "no room" in report_of(tmp_path)["html"]
    (folder / "runs.json").write_text("{")
    assert "plan of runs" in unreadable(tmp_path)["Runs-1"]


STRANGE = [None, -1, 1e999, "x", [], {}, True, [None]]


@pytest.mark.parametrize("first", [0, 3, 5])
def test_no_recorded_value_is_fatal(tmp_path, first, monkeypatch):
    """Every option once with each of three such values, beside others in other runs."""
    monkeypatch.setattr("report.figures.MOST_DRAWINGS", 6)  # what fails in one is caught there
    names = list(options_for(P_1H))
    for k, name in enumerate(names):
        value = STRANGE[(first + k) % len(STRANGE)]
        make_run(tmp_path / name, P_1H, {"EP": [2.0] * 3}, **{name: value})
    texts = report_of(tmp_path)
    found = read_results([tmp_path])
    assert len(found.runs) + len(found.unreadable) == len(names)
    assert len(found.runs) > 20 and "unfinished" in texts["html"]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    for name in ("metrics.csv", "results.npz", "hyperparameters.json"):
        folder = make_run(tmp_path / name, P_1H, {"EP": [2.0]})
        (folder / name).unlink()
        os.mkfifo(folder / name)
    (tmp_path / "Runs-1").mkdir()
    os.mkfifo(tmp_path / "Runs-1" / "runs.json")
    reasons = unreadable(tmp_path)
    for name in ("metrics.csv", "results.npz", "hyperparameters.json"):
        assert reasons[name] == f"{name} is not a file"
    assert "runs.json is not a file" in reasons["Runs-1"]


def test_nesting_and_long_fields_are_listed(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    texts = {
        "deep": ("hyperparameters.json", '{"options": ' + deep + "}", "is not valid JSON"),
        "nested": ("hyperparameters.json", '{"options": {"beta": [[[[[[[1]]]]]]]}}', "nested too"),
        "long": ("metrics.csv", f"{','.join(COLUMNS)}\n1,EP,{'1' * 200_000},1,1,1\n", "line"),
        "name": ("metrics.csv", f"{','.join(COLUMNS)},{'x' * 200_000}\n", "is no table"),
        "letters": ("metrics.csv", f"{','.join(COLUMNS)}\n1,EP,1e200,1,1,1\n", "line 2 is no row"),
        "time": ("metrics.csv", f"{','.join(COLUMNS)}\n1,EP,1,1,1,inf\n", "line 2 is no row"),
    }
    for name, (file, text, _) in texts.items():
        (make_run(tmp_path / name, P_1H, {"EP": [2.0]}) / file).write_text(text)
    (tmp_path / "Runs-1").mkdir()
    (tmp_path / "Runs-1" / "runs.json").write_text(deep)
    reasons = unreadable(tmp_path)
    for name, (*_, said) in texts.items():
        assert said in reasons[name], (name, reasons[name])
    assert "plan of runs" in reasons["Runs-1"]
    assert report_of(tmp_path)


@pytest.mark.parametrize("name", ["train_error", "test_error", "loss"])
def test_an_infinite_error_is_shown_as_none(tmp_path, name):
    for seed, value in enumerate((np.inf, -np.inf)):
        folder = make_run(tmp_path / f"Trial-{seed}", P_1H, {"EP": [2.0] * 30}, seed=seed)
        rows = list(csv.DictReader((folder / "metrics.csv").open()))
        for row in rows:
            row[name] = value
        RunFolder(folder).write_metrics(rows)
    cells = table_row(report_of(tmp_path), "P-1h")
    assert (cells[3], cells[5]) == {
        "train_error": ("2.00 ± 0.00 %", "none"),
        "test_error": ("none", "1.00 ± 0.00 %"),
        "loss": ("2.00 ± 0.00 %", "1.00 ± 0.00 %"),
    }[name]


@pytest.mark.parametrize("value", [np.zeros(3), np.array("x"), np.array(np.nan)])
def test_an_odd_record_of_the_kept_epoch_is_listed(tmp_path, value):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [2.0]}, arrays={"EP_kept_epoch": value})
    assert "results.npz cannot be read" in unreadable(tmp_path)["Trial-1"]


def test_an_old_run_without_a_kept_epoch_has_kept_the_last(tmp_path):
    words = "--preset brainprop-mnist-conv --validation test --epochs 5 --patience 3"
    make_run(tmp_path / "Trial-1", words, {"BrainProp": [5.0, 0.8, 0.75, 2.0, 3.0]})
    assert only(tmp_path).measured[0]["epochs"] == 5 and only(tmp_path).finished


def test_whether_a_free_phase_settled_is_read_as_a_value(tmp_path):
    words = "--action plotcurves --discrete --size_tab 10 9 784"
    states = {"settled": True, "not settled": False, "-": None}
    for k, value in enumerate(states.values()):
        arrays = processes(np.random.RandomState(0)) | {"settling": np.array("NOT settled")}
        arrays |= {} if value is None else {"settled": np.array(value)}
        folder = make_run(tmp_path / f"Trial-{k}", words, {}, arrays=arrays, beta=k + 2.0)
        (folder / "metrics.csv").unlink()
    rows = csv_like_rows(report_of(tmp_path)["md"])
    for k, said in enumerate(states):
        row = next(r for r in rows if f"beta {k + 2}" in r[0])
        assert row[7] == said


def csv_like_rows(text):
    """The cells of the rows of a markdown text."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_errors_that_are_no_numbers_are_shown_as_such(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [np.nan] * 30})
    texts = report_of(tmp_path)
    assert table_row(texts, "P-1h")[3] == "none" and csv_rows(texts)[0]["measured"] == ""


# The page ------------------------------------------------------------------------------------


def test_names_with_signs_are_escaped_and_linked(tmp_path):
    root = tmp_path / "Größe <b> & 'x' #1 ?"
    make_run(root / "a|b %41 é" / "Trial-1", P_1H, {"EP": [2.0] * 30})
    record = json.loads((root / "a|b %41 é" / "Trial-1" / "hyperparameters.json").read_text())
    record["command"] = "python main.py --data-dir '<script>alert(1)</script>'"
    (root / "a|b %41 é" / "Trial-1" / "hyperparameters.json").write_text(json.dumps(record))
    (root / "Trial-<i>").mkdir()
    texts = report_of(root)
    assert "<script>" not in texts["html"] and "&lt;script&gt;" in texts["html"]
    assert "Trial-&lt;i&gt;" in texts["html"] and "Trial-&lt;i&gt;" in texts["md"]


def test_no_name_is_code(tmp_path):
    for name in ("javascript:alert(1)", "data:text<", "<script>alert(1)<"):
        make_run(tmp_path / name / "script>", P_1H, {"EP": [2.0] * 30})
    texts = report_of(tmp_path)
    for kind in ("html", "md"):
        assert "<script" not in texts[kind]
        assert '"javascript' not in texts[kind] and "(javascript" not in texts[kind]
    assert 'href="./javascript%3A' in texts["html"] and "](./javascript%3A" in texts["md"]


def test_a_name_that_is_no_text_is_no_obstacle(tmp_path):
    make_run(tmp_path / "caf\udce9" / "Trial-1", P_1H, {"EP": [2.0] * 30})
    assert table_row(report_of(tmp_path), "P-1h")[3] == "2.00 %"


def test_the_same_results_give_the_same_report(tmp_path):
    for seed in (2, 0, 1):
        make_run(tmp_path / f"Trial-{seed}", P_1H, {"EP": [3.0 + seed] * 30}, seed=seed)
    assert report_of(tmp_path) == report_of(tmp_path)


def test_several_folders_are_read_once_and_the_first_gets_the_report(tmp_path):
    make_run(tmp_path / "a" / "Trial-1", P_1H, {"EP": [2.0] * 30})
    make_run(tmp_path / "b" / "Trial-1", P_1H, {"EP": [3.0] * 30}, seed=1)
    texts = report_of(tmp_path / "a", tmp_path / "b", tmp_path / "a" / "Trial-1")
    assert table_row(texts, "P-1h")[6] == "2" and "../b/Trial-1" in texts["csv"]


def test_figures_beyond_the_budget_become_links(tmp_path, monkeypatch):
    for k in range(3):
        words = f"{P_1H} --beta 0.{k + 3}"
        make_run(tmp_path / f"Trial-{k}", words, {"EP": list(range(30, 0, -1))})
    whole = report_of(tmp_path)["html"]
    assert whole.count("<figure>") == 3 and "further figures" not in whole
    one = len(re.search("<svg .*?</svg>", whole, re.S)[0])
    for limit, value in (("MOST_DRAWINGS", 1), ("ROOM", 1.5 * one)):
        with monkeypatch.context() as patch:
            patch.setattr(f"report.figures.{limit}", value)
            text = report_of(tmp_path)["html"]
        assert "2 further figures are left out" in text and text.count("<figure>") == 1


def processes(random):
    """Arrays as plotcurves stores them, of two layers and weights."""
    arrays = {"layers": np.array(["s0", "s1"]), "synapses": np.array(["W01", "W1x"])}
    for name in ("nS_s0", "dS_s0", "nS_s1", "dS_s1", "NT_W01", "DT_W01", "NT_W1x", "DT_W1x"):
        arrays[name] = random.rand(80, 10)
    arrays |= {name: random.rand(2, 2) for name in ("rmse_S", "rmse_T")}
    arrays |= {name: random.rand(2) for name in ("same_sign", "both_zero", "cosine")}
    return arrays | {"settling": np.array("free phase settled")}


def test_many_folders_make_a_page_that_is_small_and_has_figures_of_every_system(
    tmp_path, monkeypatch
):
    """Every one another experiment: 72 trained ones, 24 of directed EP, 24 with curves.

    What takes time is bounded, too: the folders are read once, and so many figures drawn.
    """
    monkeypatch.setattr("report.figures.MOST_DRAWINGS", 16)
    random = np.random.RandomState(0)
    curve, arrays, networks = random.rand(100).tolist(), processes(random), directed_arrays()
    for k in range(120):
        folder = tmp_path / f"model-{k // 50}" / f"Trial-{k}"
        if k < 72:
            words = P_1H + " --benchmark --epochs 100"
            make_run(folder, words, {"EP": curve, "BPTT": curve}, beta=k + 1.0)
        elif k < 96:
            words = "--preset deep-xor --epochs 1000 --num_net 4"
            make_run(folder, words, {"DEEP": [9.0] * 1000}, arrays=networks, beta=k + 1.0)
        else:
            words = "--action plotcurves --discrete --size_tab 10 9 784"
            make_run(folder, words, {}, arrays=arrays, beta=k + 1.0)
            (folder / "metrics.csv").unlink()
    started = time.process_time()
    html, *_ = write_report([tmp_path], NOW)
    text = html.read_text()
    print(f"{time.process_time() - started:.1f} s, {len(text) / 1e6:.2f} MB")
    sections = [part.count("<svg ") for part in text.split('<section class="system"')[1:]]
    assert len(text) < 15e6 * 16 / MOST_DRAWINGS and len(sections) == 2
    assert min(sections) > 7 and sum(sections) <= 16
    found = read_results([tmp_path])
    assert len(found.runs) == 120 and not found.unreadable
    check_page(text, tmp_path)


# Figures -------------------------------------------------------------------------------------


def drawn(draw, name="a"):
    return svg_of(Drawing("", "what <it> shows", draw), name)


def test_equal_numbers_give_equal_svg_and_names_keep_figures_apart():
    def draw(figure):
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3.0, 1.0, 2.0], "o-", label="EP test")
        axes.fill_between([1, 2, 3], 0, [4.0, 2.0, 3.0])
        axes.scatter([1, 2], [2, 2])

    assert drawn(draw) == drawn(draw)
    both = [set(re.findall(r' id="([^"]+)"', drawn(draw, name))) for name in "ab"]
    assert both[0] and not both[0] & both[1]
    text = drawn(draw)
    assert text.startswith("<svg ") and 'role="img" aria-label="what &lt;it&gt; shows"' in text
    assert ">EP test</text>" in text and "#000000" not in text and "<style" not in text
    assert max(len(v) for v in re.findall(r"\.(\d+)", re.findall(r' d="([^"]*)"', text)[0])) <= 2


@pytest.mark.parametrize(
    "errors", [[np.nan], [np.inf, 1.0, 2.0], [0.0, 0.0], [1e90, -1e90], [-np.inf, np.inf]]
)
def test_odd_errors_are_no_obstacle(tmp_path, errors):
    for seed in range(2):
        make_run(tmp_path / f"Trial-{seed}", P_1H, {"EP": errors}, seed=seed)
    texts = report_of(tmp_path)
    assert texts["html"].count("<figure>") == 1 and "nan" not in path_of_line(texts["html"])
    assert table_row(texts, "P-1h")[6] == "2"


def path_of_line(text):
    """What the page draws of the first test error."""
    found = re.search(r'<path d="([^"]*)"[^>]*stroke: #1f77b4', text)
    return found[1] if found else ""


def test_long_curves_are_thinned_with_both_ends_kept(tmp_path):
    errors = np.random.RandomState(0).rand(5000).tolist()
    make_run(tmp_path / "Trial-1", f"{P_1H} --epochs 5000", {"EP": errors})
    [group] = figures_of([only(tmp_path)], [], [])
    text = svg_of(group.drawings[0], "a")
    assert path_of_line(text).count("L") == 63
    assert f"EP test ends at {errors[-1]:.4g}" in text


def test_a_figure_that_cannot_be_drawn_costs_no_other(tmp_path):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [2.0] * 30})
    words = "--action plotcurves --discrete --size_tab 10 9 784"
    arrays = processes(np.random.RandomState(0)) | {"nS_s0": np.zeros(3)}
    (make_run(tmp_path / "Trial-2", words, {}, arrays=arrays) / "metrics.csv").unlink()
    text = report_of(tmp_path)["html"]
    assert text.count("<figure>") == 1 and "1 further figure is left out" in text


# Real runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Short runs of every kind, made by the program; nobody looks at their own figures."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("plotFunctions.plot_folder", lambda folder: [])
    place = tmp_path_factory.mktemp("Ergebnisse <1>")
    small = [*commands.SMALL, "--results-dir", place]
    commands.call(*small, "--epochs", 2, "--benchmark")
    commands.call(*small, "--epochs", 1, "--seed", 1)
    commands.call("--action", "plotcurves", *small)
    commands.call("--action", "receipe", *small, "--batches", 2)
    deep = ["--training-method", "DEEP", "--T", 20, "--Kmax", 5, "--num_net", 3, "--epochs", 3]
    commands.call(*deep, "--results-dir", place)
    commands.call("--action", "plotcurves", *deep, "--results-dir", place)
    words = ["--architecture", "dense", "--dataset", "digits", "--training-method", "BrainProp"]
    commands.call(*words, "--epochs", 1, "--results-dir", place)
    words = ["--preset", "wine_5layer_swni", "--T", 9, "--Kmax", 2, "--epochs", 1]
    commands.call(*words, "--sweep", "bypass_p", 0, 0.1, "--results-dir", place)
    monkeypatch.undo()
    return place


def test_real_runs_are_all_in_the_report(real, capsys):
    commands.call("--action", "report", real)
    assert capsys.readouterr().out.split("\n")[:3] == [
        str(real / f"report.{kind}") for kind in ("html", "md", "csv")
    ]
    texts = {kind: (real / f"report.{kind}").read_text() for kind in ("html", "md", "csv")}
    check_page(texts["html"], real)
    found = read_results([real])
    assert len(found.runs) == 9 and not found.unfinished and not found.unreadable
    for title in ("Layered equilibrium", "layer-skipping", "(DEEP)", "BrainProp beside"):
        assert title in texts["html"] and title in texts["md"]
    for drawn in ("Mismatch per layer", "neurons: gradients of BPTT", "updates of EP of W01, W1x",
                  "angle to the way down", "9 neurons", "Sweep of bypass_p"):  # fmt: skip
        assert drawn in texts["html"], drawn
    measures = {row["measure"] for row in csv_rows(texts)}
    assert {"relative RMSE of s0", "relative RMSE of W01", "learnt", "log_spread"} <= measures
    systems = [row["system"] for row in csv_rows(texts)]
    assert set(systems) == {"ernoult", "gammell", "deep", "brainprop"}


def test_reported_numbers_are_those_of_the_runs(real):
    for one in experiments_of(read_results([real]).runs):
        last = [t.rows[-1]["test_error"] for t in one.counted]
        assert one.spread("test_error").mean == pytest.approx(statistics.mean(last))
        assert one.finished and figures_of([one], [], [])


def test_a_report_over_what_is_recorded_wrongly_is_no_crash(real, tmp_path):
    """Every array of every real run replaced by one of another size."""
    shutil.copytree(real, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("results.npz"):
        with np.load(path) as file:
            arrays = {name: np.zeros(3) for name in file.files if name != "error_unit"}
        np.savez(path, **arrays)
    report_of(tmp_path / "copy")
    assert read_results([tmp_path / "copy"]).unreadable


# The command line ----------------------------------------------------------------------------


def failing(words, capfd):
    from main import main

    try:
        status = main(list(map(str, words)))
    except SystemExit as end:
        status = end.code
    said = capfd.readouterr().err
    assert status == 2 and said.count("\n") == 1 and said.startswith("main.py: error: "), said
    return said


def test_mistakes_are_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = ["--action", "report"]
    assert "nowhere is not a folder" in failing([*report, "nowhere"], capfd)
    assert "results is not a folder" in failing(report, capfd)
    (tmp_path / "empty").mkdir()
    assert "no result folder below empty" in failing([*report, "empty"], capfd)
    assert "--epochs is not used by --action report" in failing([*report, "--epochs", 2], capfd)
    assert "unrecognized arguments: empty" in failing(["--epochs", 2, "--quiet", "empty"], capfd)
    (tmp_path / "empty" / "report.html").mkdir()
    make_run(tmp_path / "empty" / "Trial-1", P_1H, {"EP": [2.0] * 30})
    assert "cannot write empty/report.html" in failing([*report, "empty"], capfd)
    assert sorted(p.name for p in (tmp_path / "empty").iterdir()) == ["Trial-1", "report.html"]


def test_without_folders_it_reads_where_results_are(tmp_path, capfd):
    make_run(tmp_path / "Trial-1", P_1H, {"EP": [2.0] * 30})
    commands.call("--action", "report", "--results-dir", tmp_path)
    assert (tmp_path / "report.md").exists()


def test_no_folder_is_a_run_error(tmp_path):
    with pytest.raises(RunError):
        write_report([tmp_path / "nowhere"])
