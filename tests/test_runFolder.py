"""Result folders: complete, never shared, never half written."""

import contextlib
import csv
import dataclasses
import json
import pickle
import re
import resource
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import commands
import numpy as np
import pytest
import torch

from errors import RunError
from records.checkpoint import patterns, read_checkpoint
from records.lock import sole_process
from records.writing import write_whole
from runFolder import RunFolder, createPath
from teaching.progress import Progress

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    with commands.drawing():
        commands.call(*commands.SMALL, "--epochs", 2, "--beta", 1 / 3, "--results-dir", results)
    return commands.only_run(results)


def test_a_folder_holds_all_that_is_promised(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "hyperparameters.txt",
        "hyperparameters.json",
        "metrics.csv",
        "results.npz",
        "checkpoint.pt",
        "log.txt",
        "plotFunctions.py",
        "results.png",
        "results.pdf",
    }
    assert folder.parts[-3] == "ep_cont_1hidden_digits" and folder.name == "Trial-1"
    assert folder.parts[-2].startswith("cpu-20")


def test_the_record_says_what_was_run_unrounded(folder):
    text = (folder / "hyperparameters.txt").read_text()
    record = json.loads((folder / "hyperparameters.json").read_text())
    assert text.startswith("EP training, energy-based network, digits\n")
    assert f"- beta: {1 / 3}\n" in text and "- size_tab: 10 16 64\n" in text
    assert (record["system"], record["action"]) == ("energy-based", "train")
    assert record["options"]["beta"] == 1 / 3 and record["options"]["seed"] == 0
    versions = [f"{name} version" for name in ("torch", "python", "numpy")]
    for word in (*versions, "commit", "command", "machine"):
        assert f"- {word}: " in text
    assert record["command"].startswith("python main.py --dataset digits")


def test_metrics_have_a_row_per_epoch_and_method(folder):
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    names = ["epoch", "method", "train_error", "test_error", "loss", "seconds", "products"]
    assert list(rows[0]) == names
    assert [(row["epoch"], row["method"]) for row in rows] == [("1", "EP"), ("2", "EP")]
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert arrays["EP_test_residual"].shape == (2,)


def test_the_copied_plotting_draws_where_it_stands(folder, monkeypatch, capsys):
    for name in ("results.png", "results.pdf"):
        (folder / name).unlink()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["plotFunctions.py"])
    with contextlib.suppress(SystemExit):
        runpy.run_path("plotFunctions.py", run_name="__main__")
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "results.pdf").read_bytes().startswith(b"%PDF")
    assert "results.png" in capsys.readouterr().out


def test_runs_started_at_once_never_share_a_folder(tmp_path):
    with ThreadPoolExecutor(20) as pool:
        paths = list(pool.map(lambda _: createPath(tmp_path, "model", "cpu"), range(60)))
    assert len(set(paths)) == 60
    numbers = sorted(int(path.name.split("-")[1]) for path in paths)
    assert numbers == list(range(1, 61))


def test_a_place_that_cannot_be_written_is_one_sentence(place, capfd):
    (place / "results").write_text("a file, not a folder")
    line = shlex.join([*commands.SMALL, "--results-dir", "results"])
    commands.refuses(line, "choose another place with --results-dir", capfd)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    write_whole(path, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(RunError, match="what was written before is intact"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


LARGER = [*commands.SMALL, "--size_tab", 10, 256, 64]  # its checkpoint is the largest file


def test_a_full_disk_ends_with_a_sentence_and_keeps_what_was_written(tmp_path):
    """A limit on the size of files stands for a disk that is full when the second epoch ends."""
    size = first_checkpoint_size(tmp_path / "probe")
    words = [*LARGER, "--epochs", 40, "--results-dir", tmp_path / "full"]
    process = commands.start(limited_program, size + 600, words, str(tmp_path / "said.txt"))
    process.join()
    said = (tmp_path / "said.txt").read_text()
    assert process.exitcode == 2 and "Traceback" not in said
    assert "what was written before is intact" in said
    folder = commands.only_run(tmp_path / "full")
    assert read_checkpoint(folder / "checkpoint.pt")["progress"]["rows"]
    assert not list(folder.glob("checkpoint*.part"))


def limited_program(size, words, output):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    commands.program(words, output)


def first_checkpoint_size(results) -> int:
    commands.call(*LARGER, "--epochs", 1, "--results-dir", results)
    return (commands.only_run(results) / "checkpoint.pt").stat().st_size


def test_nothing_needs_unpickling(folder):
    assert read_checkpoint(folder / "checkpoint.pt")["progress"]["epoch"] == 3
    with pytest.raises(RunError, match="cannot be read as a checkpoint"):
        read_checkpoint(folder / "metrics.csv")


def change(state, path, value):
    """Set, or with KeyError remove, what stands at a place such as progress.epoch."""
    *outer, last = path.split(".")
    for key in outer:
        state = state[key]
    if value is KeyError:
        del state[last]
    else:
        state[last] = value


UNREADABLE = [  # what is changed in a checkpoint, and what is said
    *((key, KeyError, f"has no {key}") for key in ("options", "weights", "particles", "progress")),
    ("progress.epoch", KeyError, "has no progress.epoch"),
    ("progress.colour", 3, "has progress.colour, which is unknown"),
    ("options", [1, 2], "has a wrong options"),
    ("options.beta", {"a": 1}, "has a wrong options"),
    ("weights", {"EP": {"weights.0": "heavy"}}, "has a wrong weights"),
    ("weights.EP", None, "has a wrong weights"),
    ("particles", {"EP": 3}, "has a wrong particles"),
    ("particles", {"EP": ([1.0], None)}, "has a wrong particles"),
    ("progress", [3], "has a wrong progress"),
    ("progress.epoch", -5, "has a wrong progress.epoch"),
    ("progress.epoch", "last", "has a wrong progress.epoch"),
    ("progress.epoch", True, "has a wrong progress.epoch"),
    ("progress.batch", 1.5, "has a wrong progress.batch"),
    ("progress.seconds", float("nan"), "has a wrong progress.seconds"),
    ("progress.record", {"loss": [1.0]}, "has a wrong progress.record"),
    ("progress.rows", [{"epoch": 1}], "has a wrong progress.rows"),
    ("progress.notes", {"EP_test_silent": 1}, "has a wrong progress.notes"),
    ("progress.history", {"EP": 1}, "has a wrong progress.history"),
    ("progress.best", {"EP": {"error": 1.0}}, "has a wrong progress.best"),
    ("progress.over", "EP", "has a wrong progress.over"),
    ("format", "two", "is not a checkpoint"),
]


@pytest.mark.parametrize("path, value, said", UNREADABLE)
def test_a_checkpoint_with_wrong_content_is_one_sentence(path, value, said, folder, tmp_path):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    change(state, path, value)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(RunError) as error:
        read_checkpoint(tmp_path / "wrong.pt")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_table_of_a_checkpoint_knows_all_of_the_progress():
    known = {key for key in patterns() if key.startswith("progress.")}
    assert known == {f"progress.{field.name}" for field in dataclasses.fields(Progress)}


def test_a_checkpoint_of_before_brainprop_is_read(folder, tmp_path):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    for path in ("best", "progress.best", "progress.over"):
        change(state, path, KeyError)
    torch.save(state, tmp_path / "old.pt")
    assert Progress(**read_checkpoint(tmp_path / "old.pt")["progress"]).over == []


OF_ANOTHER_RUN = [
    ("progress.batch", 10**9, "stands at batch 1000000000 of 15"),
    ("progress.batch", 10, "lacks the losses of the 10 batches before"),
    ("progress.epoch", 10**30, "its results at epoch 2"),
    ("progress.method", 1, "stands at epoch 3"),
    ("progress.record", {"loss": torch.zeros(4)}, "has records that are not of 15 batches"),
    ("progress.over", ["BPTT"], "has epochs of BPTT"),
    ("weights", {"BPTT": {}}, "is of BPTT, not of EP"),
    ("weights.EP", {}, "holds another network for EP"),
    ("best", {"EP": {"weights.0": torch.zeros(3)}}, "holds another network for EP"),
    ("particles", {"EP": ([torch.zeros(3, 10)], None)}, "holds states of EP for other data"),
]


@pytest.mark.parametrize("path, value, said", OF_ANOTHER_RUN)
def test_a_checkpoint_of_another_run_is_not_resumed(path, value, said, folder, tmp_path, capfd):
    own = shutil.copytree(folder, tmp_path / "run")
    state = torch.load(own / "checkpoint.pt", weights_only=True)
    change(state, path, value)
    torch.save(state, own / "checkpoint.pt")
    before = (own / "checkpoint.pt").read_bytes()
    message = commands.fails(f"--resume {own} --epochs 3", capfd)
    assert f"{own / 'checkpoint.pt'} is of another run: it " in message and said in message
    assert (own / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_of_a_larger_network_is_neither_resumed_nor_loaded(folder, tmp_path, capfd):
    own = shutil.copytree(folder, tmp_path / "run")
    state = torch.load(own / "checkpoint.pt", weights_only=True)
    weights = state["weights"]["EP"]
    name = max(weights, key=lambda key: weights[key].numel())
    weights[name] = torch.zeros(17, *weights[name].shape[1:])
    torch.save(state, own / "checkpoint.pt")
    assert "holds another network for EP" in commands.fails(f"--resume {own} --epochs 3", capfd)
    line = f"--action evaluate --load {own / 'checkpoint.pt'}"
    assert "holds a network of other sizes" in commands.fails(line, capfd)


def test_weights_of_a_method_that_the_network_has_not_are_not_evaluated(folder, tmp_path, capfd):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["weights"] = {"DEEP": state["weights"]["EP"]}
    torch.save(state, tmp_path / "wrong.pt")
    line = f"--action evaluate --load {tmp_path / 'wrong.pt'}"
    assert "holds weights of DEEP, no method of this network" in commands.fails(line, capfd)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    """In every byte of a weight, in every mark of a member of the archive, and here and there."""
    weights = torch.arange(12.0).reshape(3, 4)
    state = {"options": {}, "weights": {"EP": {"w": weights}}, "particles": {}}
    run, path = RunFolder(tmp_path), tmp_path / "checkpoint.pt"
    run.write_checkpoint(state | {"progress": vars(Progress())})
    whole = path.read_bytes()
    first = whole.index(weights.numpy().tobytes())
    inside = range(first, first + weights.nbytes)
    marks = [found.start() + 38 for found in re.finditer(b"PK\1\2", whole)]  # folder or file
    for place in [*inside, *marks, *range(0, len(whole), 53)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            read = read_checkpoint(path)
        except RunError:
            continue
        assert place not in inside
        assert torch.equal(read["weights"]["EP"]["w"], weights)
        assert Progress(**read["progress"]) == Progress()


def test_a_hostile_pickle_is_one_sentence(tmp_path, capfd):
    """torch would warn over three lines of its protocol, and then refuse it."""

    class Hostile:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"format": 2, "options": Hostile()}, tmp_path / "new.pt", pickle_protocol=4)
    torch.save(Hostile(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"format": 2}, protocol=4))
    for name in ("new", "old", "plain"):
        refused = pytest.raises(RunError, match="cannot be read as a checkpoint")
        with warnings.catch_warnings(record=True) as warned, refused:
            read_checkpoint(tmp_path / f"{name}.pt")
        assert not warned and not capfd.readouterr().out


def test_the_command_line_can_read_a_record_without_waiting_for_torch():
    code = "import sys, runFolder; print({'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=commands.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_of_many_processes_at_once_one_has_the_folder(tmp_path):
    """Also while the lock is removed and made anew all the time."""
    code = """if True:
        import sys, pathlib
        from errors import RunError
        from records.lock import sole_process
        folder, taken = pathlib.Path(sys.argv[1]), 0
        while taken < 50:
            try:
                with sole_process(folder):
                    (folder / "mine").mkdir()  # fails if another one is inside
                    (folder / "mine").rmdir()
                    taken += 1
            except RunError as error:
                assert "is at work in" in str(error), error
    """
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=commands.ROOT)
        for _ in range(3)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_not_in_the_way_of_what_is_said_of_a_bad_place(tmp_path):
    for place in (tmp_path / "removed", tmp_path / "file"):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(RunError, match="cannot write .*lock"), sole_process(place):
            pytest.fail("taken")
    with sole_process(tmp_path):
        shutil.rmtree(tmp_path)  # what writes next will say so


def test_metrics_are_written_whole(tmp_path):
    run = RunFolder(tmp_path)
    run.write_metrics([{"epoch": 1, "method": "EP"}])
    run.write_metrics([{"epoch": 1, "method": "EP"}, {"epoch": 2, "method": "EP"}])
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
