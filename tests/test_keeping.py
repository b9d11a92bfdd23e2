"""What is kept of a run: its record over every resume, its name, its output."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import commands
import numpy as np
import pytest
import torch

import plotFunctions
from commandLine import parse
from datasets import load_dataset
from errors import RunError
from netClasses import EPcont
from netFunctions import Schedule
from records.checkpoint import read_checkpoint
from records.lock import sole_process
from report.reader import read_results
from runFolder import RunFolder
from runs.many import training_of
from teaching.progress import Progress
from teaching.state import Training

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of one epoch, with a name."""
    results = tmp_path_factory.mktemp("results")
    words = ["--epochs", 1, "--name", "first try", "--note", "is it = what I think?"]
    commands.call(*commands.SMALL, *words, "--results-dir", results)
    return commands.only_run(results)


@pytest.fixture
def folder(trained, tmp_path):
    """A copy, to go on with."""
    return shutil.copytree(trained, tmp_path / "run")


def record_of(folder):
    return json.loads((folder / "hyperparameters.json").read_text())


def test_every_resume_is_recorded(folder):
    commands.call("--resume", folder, "--epochs", 2)
    commands.call("--resume", folder, "--epochs", 3, "--note", "longer")
    record = record_of(folder)
    assert record["options"]["epochs"] == 3 and record["options"]["note"] == "longer"
    first, second = record["resumes"]
    assert first["changed"] == {"epochs": {"from": 1, "to": 2}}
    assert second["changed"].keys() == {"epochs", "note"}
    assert first["command"].endswith("--epochs 2") and first["commit"] and first["started"]
    assert record["command"].startswith("python main.py --dataset digits")
    text = (folder / "hyperparameters.txt").read_text()
    assert "- epochs: 3\n" in text and "- changed: epochs from 1 to 2\n" in text


def test_the_report_and_config_read_a_resumed_run(folder):
    commands.call("--resume", folder, "--epochs", 2)
    [run] = read_results([folder]).runs
    assert run.options["epochs"] == 2 and len(run.rows["EP"]) == 2
    assert run.command.endswith(f"&& python main.py --resume {folder} --epochs 2")
    assert parse(["--config", str(folder / "hyperparameters.json")]).epochs == 2


def test_a_run_has_a_name_and_a_note(folder):
    options = record_of(folder)["options"]
    assert options["name"] == "first try" and options["note"] == "is it = what I think?"
    assert parse(["--config", str(folder / "hyperparameters.json")]).name == "first try"


@pytest.mark.parametrize("line", ["--name ''", "--note 'two\nlines'"])
def test_a_name_is_a_line(line, capfd):
    commands.refuses(line, "is not a line of text", capfd)


def test_the_output_is_kept_warnings_and_errors_included_and_bars_not(folder, capfd):
    (folder / "log.txt").unlink()
    with commands.drawing(), mock.patch("runs.train.shows_progress", lambda args: True):
        commands.call("--resume", folder, "--epochs", 2)
    printed = capfd.readouterr()
    assert "\r" in printed.err and "epoch 2/2 EP" in printed.err  # the bar, drawn over itself
    log = (folder / "log.txt").read_text()
    first, rest = log.split("\n", 1)
    assert first.endswith(f"python main.py --resume {folder} --epochs 2") and rest == printed.out
    with mock.patch("runs.train.train", side_effect=RunError("no more")) as train:
        commands.fails(f"--resume {folder} --epochs 3", capfd)
        train.side_effect = ZeroDivisionError
        with pytest.raises(ZeroDivisionError):
            commands.call("--resume", folder, "--epochs", 3)
    added = (folder / "log.txt").read_text().removeprefix(log)
    assert "main.py: error: no more\n" in added and "Traceback" in added


def test_a_run_ends_with_its_errors_its_place_and_what_to_type(folder):
    text = commands.call("--resume", folder, "--epochs", 2, "--no-figures")
    errors, place = text.splitlines()[-2:]
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    best = min(rows, key=lambda row: float(row["test_error"]))
    assert errors == (
        f"EP: test error {float(rows[-1]['test_error']):.2f} % after epoch 2, the best was "
        f"{float(best['test_error']):.2f} % after epoch {best['epoch']}"
    )
    again = f"--resume {folder} --epochs 4"
    assert place == f"results in {folder}; next: python main.py {again}"
    assert parse(again.split()).epochs == 4
    assert not list(folder.glob("*.png"))


def test_the_bar_tells_the_time_of_the_whole_run(folder):
    plan = Schedule(T=6, Kmax=3, beta=1.0, lr_tab=[0.1, 0.1], batch_size=100, epochs=5)
    nets = {name: EPcont([10, 16, 64]) for name in ("EP", "BPTT")}
    state = Training(nets, load_dataset("digits", None), plan, RunFolder(folder), {})
    state.progress = Progress(epoch=3, method=1, batch=4)
    with state.bar(quiet=False) as bar:
        assert (bar.total, bar.n) == (15 * 2 * 5, 15 * 5 + 4)


# The list of runs -------------------------------------------------------------------------------


def listed(*words) -> list[dict]:
    return json.loads(commands.call("--action", "list", *words, "--json"))


def test_the_list_tells_of_a_run(trained):
    [run] = listed(trained)
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert run["folder"] == str(trained) and run["state"] == "finished"
    assert (run["system"], run["dataset"], run["rule"]) == ("energy-based", "digits", "EP")
    assert (run["seed"], run["epochs"], run["asked"]) == (0, 1, 1)
    assert run["last_error"] == run["kept_error"] == float(rows[-1]["test_error"])
    text = commands.call("--action", "list", trained).splitlines()
    assert text[0].split()[:3] == ["started", "state", "system"] and "1 run: 1 finished" in text
    assert f"{run['last_error']:.2f} %" in text[1] and text[1].endswith(f"first try  {trained}")


def test_the_list_is_filtered_and_newest_first(trained, tmp_path):
    for k, name in enumerate(("older", "newer")):
        folder = shutil.copytree(trained, tmp_path / name)
        record = record_of(folder) | {"started": f"2026-01-0{k + 1}T12:00:00+00:00"}
        record["options"]["name"] = name
        record["command"] += " --preset P-1h" * k
        (folder / "hyperparameters.json").write_text(json.dumps(record))
    (tmp_path / "Trial-3").mkdir()  # nothing in it
    assert [run["name"] for run in listed(tmp_path)] == ["newer", "older", ""]
    for words in (["--name", "newer"], ["--preset", "P-1h"]):
        assert [run["name"] for run in listed(tmp_path, *words)] == ["newer"]
    assert len(listed(tmp_path, "--dataset", "digits")) == 2
    assert not listed(tmp_path, "--dataset", "wine")
    assert "no runs" in commands.call("--action", "list", tmp_path, "--name", "other")


def test_the_list_knows_how_runs_stand(folder):
    record = record_of(folder)
    record["options"]["epochs"] = 9
    (folder / "hyperparameters.json").write_text(json.dumps(record))
    [run] = listed(folder)
    assert (run["state"], run["why"]) == ("stopped", "EP 1 of 9 epochs")
    with sole_process(folder):
        assert listed(folder)[0]["state"] == "running"
    with (folder / "log.txt").open("a") as log:
        log.write("main.py: error: the loss is not finite\n")
    [run] = listed(folder)
    assert (run["state"], run["why"]) == ("failed", "the loss is not finite")
    (folder / "metrics.csv").write_text("what?")
    [run] = listed(folder)
    assert run["state"] == "unreadable" and "metrics.csv has no column" in run["why"]


def test_the_list_needs_no_torch_and_reads_many_runs_soon(trained, tmp_path):
    for k in range(100):
        shutil.copytree(trained, tmp_path / f"Trial-{k}")
    program = (
        "import sys, time; from main import main; start = time.process_time();"
        "assert main(sys.argv[1:]) == 0; print(time.process_time() - start);"
        "assert 'torch' not in sys.modules"
    )
    words = [sys.executable, "-c", program, "--action", "list", tmp_path]
    done = subprocess.run(words, cwd=commands.ROOT, capture_output=True, text=True, check=True)
    assert "100 runs: 100 finished" in done.stdout
    assert float(done.stdout.splitlines()[-1]) < 5


@pytest.mark.parametrize(
    "line, said",
    [
        ("--action list nowhere", "nowhere is not a folder with results"),
        ("--action list --T 3", "--T is not used by --action list"),
        ("--action report --json", "--json is not used by --action report"),
        ("--action list --note x", "--note is not used by --action list"),
    ],
)
def test_what_a_list_does_not_read(line, said, place, capfd):
    commands.refuses(line, said, capfd)


# Fewer tests ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seldom(tmp_path_factory):
    """The folder of a run of 5 epochs that is tested on 50 samples after every second one."""
    results = tmp_path_factory.mktemp("seldom")
    words = [*commands.SMALL, "--epochs", 3, "--test-every", 2, "--test-samples", 50]
    printed = commands.call(*words, "--results-dir", results)
    assert printed.count("test error") == 3  # of two epochs, and in the last line
    folder = commands.only_run(results)
    commands.call("--resume", folder, "--epochs", 5)
    return folder


def test_only_some_epochs_are_tested(seldom, trained, tmp_path):
    rows = list(csv.DictReader((seldom / "metrics.csv").open()))
    tested = [int(row["epoch"]) for row in rows if row["test_error"]]
    assert tested == [2, 3, 4, 5]  # 3 and 5 were the last ones
    with np.load(seldom / "results.npz") as arrays:
        assert arrays["EP_test_epoch"].tolist() == tested
        assert len(arrays["EP_test_residual"]) == len(tested)
    steps = [float(row["test_error"]) / 2 for row in rows if row["test_error"]]  # of 50 samples
    assert steps == [round(step) for step in steps]
    whole = commands.call("--action", "evaluate", "--load", seldom / "checkpoint.pt")
    assert "of 297 samples" in whole
    some = ["--action", "evaluate", "--load", seldom / "checkpoint.pt", "--test-samples", 50]
    assert f"{float(rows[-1]['test_error']):.2f} % of 50 samples" in commands.call(*some)


def test_weights_do_not_depend_on_the_tests(tmp_path):
    weights = []
    for k, words in enumerate(([], ["--test-every", 2])):
        words = [*commands.SMALL, "--epochs", 3, *words, "--results-dir", tmp_path / str(k)]
        commands.call(*words)
        state = read_checkpoint(commands.only_run(tmp_path / str(k)) / "checkpoint.pt")
        weights.append(state["weights"]["EP"])
    assert all(torch.equal(v, weights[1][name]) for name, v in weights[0].items())


@pytest.mark.figures
def test_untested_epochs_are_read_by_report_list_and_figures(seldom, saved):
    [found] = read_results([seldom]).runs
    assert [row["epoch"] for row in found.rows["EP"] if "test_error" in row] == [2, 3, 4, 5]
    [run] = listed(seldom)
    assert run["state"] == "finished" and run["last_error"] == found.rows["EP"][-1]["test_error"]
    assert plotFunctions.plot_folder(seldom)
    [row] = training_of(seldom)
    assert row["test_error"] and float(row["best_test_error"]) <= float(row["test_error"])
    text = commands.call("--action", "report", seldom)
    assert f"{run['last_error']:.2f}" in Path(text.splitlines()[1]).read_text()


def test_the_kept_epoch_is_tested_whatever_test_every_says(tmp_path):
    words = "--dataset digits --architecture dense --training-method BrainProp --epochs 6 "
    words += "--patience 2 --test-every 50 --train-samples 500 --threads 1"
    commands.call(*words.split(), "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    tested = {
        int(row["epoch"])
        for row in csv.DictReader((folder / "metrics.csv").open())
        if row["test_error"]
    }
    with np.load(folder / "results.npz") as arrays:
        assert int(arrays["BrainProp_kept_epoch"]) in tested and len(tested) <= 6


@pytest.mark.parametrize(
    "line, said",
    [
        ("--dataset wine --test-samples 29", "--test-samples 29: wine has 28 test samples"),
        ("--training-method DEEP --test-samples 2", "xor is tested on what is learnt"),
        ("--training-method DEEP --test-every 2", "on what is learnt, takes no time"),
        ("--test-every 0", "is not a whole number of at least 1"),
        ("--action plotcurves --test-samples 3", "is not used by --action plotcurves"),
    ],
)
def test_what_cannot_be_tested_less(line, said, place, capfd):
    commands.refuses(line, said, capfd)
