"""From one command to many runs: what is planned, done, recorded and summed up, whatever --jobs."""

import csv
import json
import math
import re
import shlex

import commands
import numpy as np
import pytest
import torch
from commands import fails

from commandLine import parse
from errors import RunError
from records.checkpoint import read_checkpoint
from records.lock import lock
from runs import launch, many
from runs.many import Run, plan_runs, read_rows, spread_of, tables
from runs.setup import load_data

pytestmark = pytest.mark.long

TINY = ["--dataset", "digits", "--size_tab", 10, 8, 64, "--T", 5, "--Kmax", 2]
TINY += ["--batch-size", 500, "--lr_tab", 0.5]
SKIPPING = ["--preset", "wine_5layer_swni", "--T", 20, "--epochs", 2]


def group_in(results):
    """The one folder of many runs below a results folder."""
    (folder,) = results.glob("*/*/Runs-*")
    return folder


def summary_of(folder):
    """The rows of summary.csv without `seconds`, the only column that a clock has filled."""
    rows = read_rows(folder / "summary.csv")
    return [{name: v for name, v in row.items() if name != "seconds"} for row in rows]


def same_to_the_bit(one, other):
    """Both folders hold the same runs, with the same summary, metrics, arrays and weights."""
    assert summary_of(one) == summary_of(other)
    for run in sorted(path.parent.name for path in one.glob("*/checkpoint.pt")):
        a, b = (read_checkpoint(folder / run / "checkpoint.pt") for folder in (one, other))
        for method, weights in a["weights"].items():
            assert all(torch.equal(v, b["weights"][method][k]) for k, v in weights.items()), run
        timeless = [
            [{k: v for k, v in row.items() if k != "seconds"} for row in state["progress"]["rows"]]
            for state in (a, b)
        ]
        assert timeless[0] == timeless[1]
        with np.load(one / run / "results.npz") as x, np.load(other / run / "results.npz") as y:
            assert x.files == y.files
            assert all(x[name].tobytes() == y[name].tobytes() for name in x.files), run


# The plan ---------------------------------------------------------------------------------------


def test_a_grid_has_every_pair_of_values_with_every_seed():
    runs = plan_runs(["--dataset", "wine"], [["T", "5", "6"], ["--lr-tab", "1,2"]], range(3, 5))
    assert [run.name for run in runs] == [
        "T=5,lr_tab=1,2,seed=3",
        "T=5,lr_tab=1,2,seed=4",
        "T=6,lr_tab=1,2,seed=3",
        "T=6,lr_tab=1,2,seed=4",
    ]
    assert runs[0].words == shlex.split("--dataset wine --T 5 --lr_tab 1 2 --seed 3")


def test_values_that_would_share_a_folder_are_refused():
    with pytest.raises(RunError, match="asks for the run load=a_b,seed=0 twice"):
        plan_runs([], [["load", "a/b", "a_b"]], range(1))


def test_a_dry_run_prints_commands_that_do_just_these_runs(tmp_path, capsys):
    words = [*TINY, "--sweep", "beta", 0.5, -1, "--trials", 2, "--seed=3", "--jobs", 2]
    words += ["--results-dir", tmp_path / "results"]
    commands.call(*words, "--dry_run")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and list(tmp_path.iterdir()) == []
    commands.call(*words[:-4], "--results-dir", tmp_path / "results")
    folder = group_in(tmp_path / "results")
    for line, row in zip(lines, read_rows(folder / "summary.csv"), strict=True):
        python, program, *single = shlex.split(line)
        assert (python, program) == ("python", "main.py")
        record = json.loads((folder / row["run"] / "hyperparameters.json").read_text())
        assert record["command"] == line
        if line not in (lines[0], lines[-1]):
            continue
        commands.call(*single, "--results-dir", tmp_path / row["run"])
        alone = read_checkpoint(commands.only_run(tmp_path / row["run"]) / "checkpoint.pt")
        among = read_checkpoint(folder / row["run"] / "checkpoint.pt")
        for name, weights in among["weights"]["EP"].items():
            assert torch.equal(weights, alone["weights"]["EP"][name])


def test_the_published_words_are_spelt_out_before_they_are_split(by_jobs, capsys):
    """So that -l, which stands behind another option here, is not taken for one of its values."""
    file = sorted(group_in(by_jobs / "feedforward" / "1").glob("*/checkpoint.pt"))[0]
    words = ["MNIST", "dense", "BrainProp", "--sweep", "test_batch_size", 64, 128, "-l", file]
    commands.call(*words, "--dry-run")
    evaluation = f"python main.py --action evaluate --load {file}"
    lines = [f"{evaluation} --test_batch_size {size} --seed 0" for size in (64, 128)]
    assert capsys.readouterr().out.splitlines() == lines
    commands.call("MNIST", "dense", "BrainProp", "--dry-run", "-l", file)
    assert capsys.readouterr().out == f"{evaluation}\n"


def test_a_dry_run_of_a_single_command_is_that_command(capsys):
    commands.call("--preset", "deep-xor", "--dry-run", "--seed", 2)
    assert capsys.readouterr().out == "python main.py --preset deep-xor --seed 2\n"


WRONG = {
    "--trials 2 --jobs 0": "--jobs: '0' is not a whole number of at least 1",
    "--jobs 2": "--jobs is for many runs: add --trials N or --sweep OPTION V1 V2",
    "--trials 1 --jobs 4": "--jobs is for many runs: add --trials N or --sweep OPTION V1 V2",
    "--trials 2 --backend ray": "invalid choice: 'ray'",
    "--trials 2 --backend dask": "--backend dask needs --scheduler ADDRESS",
    "--trials 2 --scheduler tcp://localhost:8786": "--scheduler is for --backend dask",
    "--trials 2 --backend dask --scheduler tcp://localhost:8786 --jobs 2": "--jobs is for",
    "--sweep T 5 5": "--sweep asks for the run T=5,seed=0 twice",
    "--sweep T 5 6 --sweep T1 7": "--sweep T is given twice",
    "--sweep jobs 1 2": "--sweep jobs: there is no such option to sweep",
    "--sweep colour red": "--sweep colour: there is no such option to sweep",
    "--sweep discrete yes": "unrecognized arguments: yes",
    "--sweep size_tab 10,8,60": "must end in 64, the inputs of digits",
    "--resume nowhere --jobs 2": "--resume: nowhere does not exist",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_writes_nothing(line, tmp_path, monkeypatch, capfd):

    monkeypatch.chdir(tmp_path)
    digits = "" if "--resume" in line else "--dataset digits "
    assert WRONG[line] in fails(digits + line, capfd)
    assert list(tmp_path.iterdir()) == []


# Every action and system ------------------------------------------------------------------------

SYSTEMS = {
    "energy-based": TINY,
    "prototypical": [*TINY, "--discrete"],
    "toy": [*TINY, "--toymodel"],
    "both methods": [*TINY, "--benchmark"],
    "convolutional": ["--dataset", "digits", "--C_tab", 2, 1, "--Fconv", 3, "--T", 4, "--Kmax", 2]
    + ["--lr_tab", 0.1, "--batch-size", 500],
    "layer-skipping": SKIPPING,
    "directed": ["--training-method", "DEEP", "--T", 10, "--Kmax", 4, "--epochs", 2],
    "feedforward": ["--dataset", "digits", "--architecture", "dense", "--benchmark"]
    + ["--epochs", 1, "--batch-size", 500],
}


DRAWN = ("both methods", "layer-skipping", "directed")


@pytest.fixture(scope="module")
def by_jobs(tmp_path_factory):
    """The same two runs of every system, one at a time and two at a time."""
    place = tmp_path_factory.mktemp("jobs")
    for jobs in (1, 2):
        for kind, words in SYSTEMS.items():
            results = place / kind / str(jobs)
            with commands.drawing(jobs == 2 and kind in DRAWN):
                commands.call(*words, "--trials", 2, "--jobs", jobs, "--results-dir", results)
    return place


@pytest.mark.parametrize("kind", SYSTEMS)
def test_two_at_a_time_give_the_same_to_the_bit_as_one(kind, by_jobs):
    one, two = (group_in(by_jobs / kind / jobs) for jobs in "12")
    assert len(list(two.glob("*/checkpoint.pt"))) == 2
    same_to_the_bit(one, two)
    assert {row["status"] for row in summary_of(one)} == {"done"}
    assert (two / "trials.png").exists() == (kind in DRAWN)


def test_a_run_keeps_its_words_and_its_state_in_its_folder(by_jobs):
    folder = group_in(by_jobs / "energy-based" / "2")
    for run in folder.glob("seed=*"):
        assert (run / "status.txt").read_text() == "done"
        log = (run / "log.txt").read_text()
        assert "epoch 1/1  EP" in log and f"results in {run}" in log
        record = json.loads((run / "hyperparameters.json").read_text())["options"]
        assert record["threads"] == 1  # whatever --jobs: sums depend on it
        assert not {"jobs", "backend", "scheduler", "dry_run", "trials"} & set(record)


def test_the_summary_has_mean_deviation_number_best_and_last_epoch(by_jobs):
    folder = group_in(by_jobs / "layer-skipping" / "2")
    rows = read_rows(folder / "summary.csv")
    text = (folder / "summary.md").read_text()
    head = text.splitlines()[0]
    for name in ("n", "epochs", "train error (%)", "test error (%)", "best epoch", "seconds (s)"):
        assert f"| {name} |" in head
    for name in ("test_error", "best_test_error", "best_epoch"):
        values = [float(row[name]) for row in rows]
        assert f"| {spread_of(values)} |" in text
    assert "| EP | 2 | 2 ± 0 |" in text


@pytest.mark.figures
def test_two_sweeps_make_a_grid(tmp_path):
    grid = ["--sweep", "T", 5, 6, "--sweep", "beta", 0.5, 1, "--trials", 2]
    commands.call(*TINY, *grid, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    rows = read_rows(folder / "summary.csv")
    own = [float(r["test_error"]) for r in rows if (r["T"], r["beta"]) == ("6", "0.5")]
    cell = spread_of(own)
    lines = (folder / "summary.md").read_text().splitlines()
    assert "| T \\ beta | 0.5 | 1 |" in lines
    assert any(line.startswith(f"| 6 | {cell} |") for line in lines)
    assert (folder / "trials.png").exists() and not (folder / "sweep.png").exists()


@pytest.mark.parametrize(
    "values, text",
    [
        ([1.90, 1.91, 1.92], "1.910 ± 0.010"),
        ([90.0, 10.0], "50 ± 57"),
        ([0.03258, 0.03262], "0.032600 ± 0.000028"),
        ([1200.0, 1500.0], "1350 ± 212"),
        ([2.0, 2.0], "2 ± 0"),
        ([2.5], "2.5"),
        ([2.5, math.nan], "2.5 (1 of 2)"),
        ([math.nan, math.inf], "-"),
        ([1e9, 2e9], "1.5e+09 ± 7.1e+08"),
    ],
)
def test_a_mean_has_the_digits_that_its_spread_allows(values, text):
    assert spread_of(values) == text


def test_a_table_of_runs_that_have_all_failed_says_so():
    failed = [{"run": "seed=0", "seed": "0", "status": "failed: too large"}]
    assert tables(failed, []).endswith("1 run(s) failed.\n")


MEASURING = {
    "plotcurves": (["--trials", 2], {"rmse_neurons", "rmse_synapses", "same_sign", "cosine"}),
    "receipe": (["--sweep", "beta", 0.1, 1, "--trials", 2, "--batches", 2], {"same_sign"}),
}


@pytest.mark.figures
@pytest.mark.parametrize("action", MEASURING)
def test_curves_and_receipe_over_seeds_have_their_measures_in_the_summary(action, tmp_path):
    words, measures = MEASURING[action]
    base = [*TINY[:-2], "--T", 8, "--Kmax", 3, "--action", action, "--results-dir", tmp_path]
    commands.call(*base, *words)
    folder = group_in(tmp_path)
    rows = read_rows(folder / "summary.csv")
    for row in rows:
        assert row["status"] == "done" and all(np.isfinite(float(row[m])) for m in measures)
        with np.load(folder / row["run"] / "results.npz") as arrays:
            assert float(row["same_sign"]) == pytest.approx(arrays["same_sign"].mean())
            if action == "plotcurves":
                assert float(row["rmse_synapses"]) == arrays["rmse_T"][:, 0].mean()
    assert len({row["same_sign"] for row in rows}) == len(rows)  # a mini-batch of each seed
    assert (folder / "measures.png").exists() and "same sign" in (folder / "summary.md").read_text()


def test_evaluations_are_on_disk_a_row_for_each_network_of_a_checkpoint(by_jobs, tmp_path):
    trained = sorted(group_in(by_jobs / "both methods" / "1").glob("*/checkpoint.pt"))
    words = ["--action", "evaluate", "--sweep", "load", *trained, "--results-dir", tmp_path]
    commands.call(*words)
    rows = read_rows(group_in(tmp_path) / "summary.csv")
    assert len(rows) == 4
    for row in rows:
        state = read_checkpoint(row["load"])
        (last,) = [r for r in state["progress"]["rows"] if r["method"] == row["method"]]
        assert float(row["test_error"]) == pytest.approx(last["test_error"])


def test_an_evaluation_that_is_the_same_with_every_seed_is_refused(by_jobs, tmp_path, capfd):

    file = sorted(group_in(by_jobs / "energy-based" / "1").glob("*/checkpoint.pt"))[0]
    line = f"--action evaluate --load {file} --trials 2 --results-dir {tmp_path}"
    assert "--trials needs something that differs by seed" in fails(line, capfd)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_that_draws_its_first_states_is_not_refused(by_jobs, tmp_path):
    file = sorted(group_in(by_jobs / "directed" / "1").glob("*/checkpoint.pt"))[0]
    words = ["--action", "evaluate", "--load", file, "--trials", 2, "--results-dir", tmp_path]
    commands.call(*words)
    assert [row["status"] for row in summary_of(group_in(tmp_path))] == ["done"] * 2


def test_the_summary_shows_the_epoch_that_validation_chose(tmp_path):
    words = ["--dataset", "digits", "--training-method", "BrainProp", "--batch-size", 500]
    words += ["--epochs", 12, "--patience", 1, "--sweep", "lr_tab", 1, 10]
    commands.call(*words, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    rows, text = read_rows(folder / "summary.csv"), (folder / "summary.md").read_text()
    assert list(rows[0])[-3:] == ["seconds", "kept_epoch", "kept_test_error"]
    names = (
        "| test error (%) | kept test error (%) | kept epoch | best test error (%) | best epoch |"
    )
    assert names in text
    for row in rows:
        best = read_checkpoint(folder / row["run"] / "checkpoint.pt")["progress"]["best"]
        kept, metrics = int(row["kept_epoch"]), read_rows(folder / row["run"] / "metrics.csv")
        assert kept == best["BrainProp"]["epoch"] == len(metrics) - 1  # one epoch was too many
        assert row["kept_test_error"] == metrics[kept - 1]["test_error"]
        assert f"| {float(row['kept_test_error']):.4g} | {kept} |" in text


def test_what_is_kept_anyway_has_no_column(by_jobs):
    rows = read_rows(group_in(by_jobs / "energy-based" / "1") / "summary.csv")
    assert not {"kept_epoch", "kept_test_error"} & set(rows[0])


def test_two_actions_in_one_sweep_have_the_measures_that_each_brings(tmp_path):
    words = [*TINY[:-2], "--sweep", "action", "plotcurves", "receipe", "--results-dir", tmp_path]
    commands.call(*words)
    curves, receipe = read_rows(group_in(tmp_path) / "summary.csv")
    assert curves["status"] == receipe["status"] == "done"
    assert curves["rmse_neurons"] and not receipe["rmse_neurons"] and receipe["same_sign"]


@pytest.mark.figures
def test_a_figure_that_fails_is_a_warning_at_the_end_of_the_job(tmp_path, monkeypatch, capfd):
    import plotFunctions

    def fails(folder):
        raise ValueError("could not convert string to float: ''")

    monkeypatch.setitem(plotFunctions.FIGURES, "trials", fails)
    commands.call(*TINY, "--trials", 2, "--results-dir", tmp_path)
    out, err = capfd.readouterr()
    assert "| EP | 2 |" in out and "warning: no figure trials of" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "sweep, folder",
    [
        ("network_type MLFF SW_no_intra", "sweep_network_type_wine"),
        ("dataset wine diabetes", "sweep_dataset"),
        ("size_tab 3,4,13 3,5,13", "ep_cont_1hidden_wine"),
        ("size_tab 3,4,13 3,5,4,13", "sweep_size_tab_wine"),
    ],
)
def test_a_sweep_over_kinds_of_network_is_in_a_folder_of_its_own_name(sweep, folder):
    words = ["--dataset", "wine", "--sweep", *sweep.split()]
    runs, _ = many.runs_of(parse(words), words)
    first, *others = [parse(run.words) for run in runs]
    first, data = load_data(first)
    assert many.group_folder(first, others, runs, data) == folder


# Failures and going on --------------------------------------------------------------------------


def fails_for_seed_1(words, more, folder, directory):
    """As `launch.run_one`, in the process of a run; training has no memory left for one seed."""
    train = launch.ACTIONS["train"]

    def fails_or_trains(args, argv, place):
        if args.seed == 1:
            raise MemoryError("nothing left\nof it")
        train(args, argv, place)

    launch.ACTIONS["train"] = fails_or_trains
    return launch.run_one(words, more, folder, directory)


def test_whatever_goes_wrong_in_a_run_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(many, "run_one", fails_for_seed_1)
    commands.call(*TINY, "--trials", 3, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    statuses = [row["status"] for row in summary_of(folder)]
    assert statuses == ["done", "failed: MemoryError: nothing left", "done"]
    assert "Traceback" in (folder / "seed=1" / "log.txt").read_text()
    assert "1 run(s) failed." in (folder / "summary.md").read_text()
    monkeypatch.undo()
    commands.call("--resume", folder)
    assert [row["status"] for row in summary_of(folder)] == ["done"] * 3


def test_what_libraries_print_is_in_the_log_of_the_run(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(many, "run_one", prints_without_python)
    commands.call(*TINY, "--trials", 2, "--results-dir", tmp_path)
    for log in group_in(tmp_path).glob("*/log.txt"):
        assert log.read_text().endswith("out of C\n")
    out, err = capfd.readouterr()
    assert "out of C" not in out + err and not err


def prints_without_python(words, more, folder, directory):
    import os

    status = launch.run_one(words, more, folder, directory)
    os.write(2, b"out of C\n")
    return status


def test_values_that_no_run_accepts_fail_with_the_sentence_of_the_command_line(tmp_path, capfd):
    words = [*TINY[:2], "--T", 5, "--Kmax", 2, "--sweep", "size_tab", "10,8,64", "9,8,64"]
    commands.call(*words, "--batch-size", 500, "--results-dir", tmp_path)
    last = summary_of(group_in(tmp_path))[-1]
    assert last["status"] == "failed: --size_tab starts with 9, digits has 10 outputs"
    assert not capfd.readouterr().err


def test_if_all_have_failed_the_program_has(tmp_path, capfd):

    words = [*map(str, TINY), "--no-clamp", "--activation-function", "hardsigm", "--epochs", "2"]
    words += ["--lr_tab", "1e38", "--trials", "2", "--results-dir", str(tmp_path)]
    assert "all 2 runs have failed" in fails(shlex.join(words), capfd)


def times_begun(folder):
    """By run, how often its log says that it has begun."""
    logs = folder.glob("*/log.txt")
    first = re.compile(r"^results in [^;\n]+$", re.M)  # the last line goes on after the folder
    return {log.parent.name: len(first.findall(log.read_text())) for log in logs}


def test_going_on_does_only_what_is_missing(tmp_path):
    commands.call(*TINY, "--epochs", 2, "--trials", 4, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    whole = summary_of(folder)
    (folder / "summary.csv").unlink()
    (folder / "seed=1" / "status.txt").unlink()  # ended, but not recorded
    (folder / "seed=2" / "status.txt").write_text("running 1")  # killed before its checkpoint
    for name in ("checkpoint.pt", "metrics.csv", "results.npz"):
        (folder / "seed=2" / name).unlink()
    (folder / "seed=2" / "checkpoint.pt.part").write_bytes(b"half")
    for path in (folder / "seed=3").iterdir():  # made, and nothing in it
        path.unlink()
    commands.call("--resume", f"{folder}/")
    begun = times_begun(folder)
    assert begun == {"seed=0": 1, "seed=1": 2, "seed=2": 2, "seed=3": 1}
    assert summary_of(folder) == whole
    commands.call(f"--resume={folder}", "--quiet")
    assert times_begun(folder) == begun and summary_of(folder) == whole


def test_many_runs_can_be_given_more_epochs(tmp_path):
    for epochs, results in ((1, tmp_path / "short"), (3, tmp_path / "long")):
        commands.call(*TINY, "--epochs", epochs, "--trials", 2, "--results-dir", results)
    commands.call("--resume", group_in(tmp_path / "short"), "--epochs", 3)
    same_to_the_bit(group_in(tmp_path / "short"), group_in(tmp_path / "long"))


def test_a_dry_run_of_what_is_missing(tmp_path, capsys):
    commands.call(*TINY, "--trials", 2, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    (folder / "seed=1" / "status.txt").unlink()
    capsys.readouterr()
    commands.call("--resume", folder, "--dry-run", "--jobs", 2)
    assert capsys.readouterr().out == f"python main.py --resume {folder / 'seed=1'}\n"


def test_a_damaged_plan_is_a_sentence(tmp_path, capfd):

    (tmp_path / many.PLAN).write_text('[{"name": "seed=0", "val')
    assert "cannot be read as a plan of runs" in fails(f"--resume {tmp_path}", capfd)


def test_two_programs_do_not_work_at_the_same_runs(tmp_path, capfd):

    commands.call(*TINY, "--trials", 2, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    capfd.readouterr()
    with many.sole_program(folder):
        assert "another program is at work" in fails(f"--resume {folder}", capfd)


def test_a_run_waits_for_a_process_that_is_still_at_it(tmp_path):
    """Left behind by a killed program, as a worker of a cluster may be."""
    from threading import Timer

    log = (tmp_path / launch.LOG).open("a")
    assert lock(log)

    def end():
        (tmp_path / launch.STATUS).write_text("done")
        log.close()

    Timer(0.5, end).start()
    assert launch.perform(lambda: pytest.fail("begun beside it"), tmp_path) == "done"


def test_the_last_column_of_a_failed_run_is_its_sentence(tmp_path):
    runs = [Run("seed=0", {"seed": "0"}, [])]
    summary = many.Summary(tmp_path, runs)
    summary.enter("seed=0", 'failed: a, "b"')
    summary.write()
    with (tmp_path / "summary.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[0]["status"] == 'failed: a, "b"'
