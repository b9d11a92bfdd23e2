"""What the pages print is run: every command, cut down, and every block of Python."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import commands
import numpy as np
import pytest
import test_docs
from PIL import Image
from readerChecks import write_binary
from test_docs import COMMANDS, PAGES, PLACEHOLDERS, blocks

import plotFunctions
from commandLine import parse
from commandLine.settings import is_many
from networks import implicit
from records.names import PLAN
from runs.many import Run, write_plan

pytestmark = pytest.mark.long

CUTS = {  # where it is read, and more: less of it
    "epochs": 1,
    "train_samples": 20,
    "test_samples": 20,
    "T": 4,
    "Kmax": 2,
    "max_sweeps": 2,
    "num_net": 2,
    "batches": 2,
    "curves": 2,
    "batch_size": 2,  # of an audit, which solves for each sample
    "cosine_samples": 1,  # of a comparison, which does so too
}
MOST_TIME = 100.0  # that an audit waits for a rest by steps; relaxing finds one anyway
LARGE = ("mnist", "fashion-mnist", "digits", "folder")  # of which some samples will do
SOMEWHERE = "results/..."  # in a printed command: a folder that a reader has
TOLD_BY_ITSELF = {"..."}


def accepted(words):
    with contextlib.redirect_stderr(io.StringIO()):
        return test_docs.status_of(words) == 0


def cut_down(words):
    """A command line with less of what takes time; a typed --T or --Kmax would mean stepping."""
    for name, most in CUTS.items():
        args = vars(parse(words))
        fits = name not in ("T", "Kmax") or args["solver"] == "step"
        fits &= name not in ("train_samples", "test_samples") or args["dataset"] in LARGE
        fits &= name != "batch_size" or args["action"] == "audit"
        if fits and (args.get(name) is None or args[name] > most):
            shorter = [*words, f"--{name.replace('_', '-')}", str(most)]
            words = shorter if accepted(shorter) else words
    return words


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where a reader stands: data, pictures, and results of a run and of several."""
    place = tmp_path_factory.mktemp("reader")
    for name in ("weights", "systems"):  # of the project, which a reader stands in
        (place / name).symlink_to(commands.ROOT / name)
    for fashion in (False, True):
        commands.small_mnist(place, fashion)
    write_binary(place / "data", "CIFAR10")
    random = np.random.RandomState(0)
    for k in range(120):  # of which a fifth of each class is for testing
        folder = place / "pictures" / f"class-{k % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.randint(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    for page in PAGES:  # the files that a page has its reader write, and run
        text = page.read_text()
        for code in re.findall(r"^```csv\n(name,rule,.*?)^```", text, re.M | re.S):
            (place / "mine.csv").write_text(code)
        for name, code in re.findall(r"^`(\w+\.py)`\n\n```python\n(.*?)^```", text, re.M | re.S):
            (place / name).write_text(code)
            if re.search(rf"^python {name}$", text, re.M):
                with contextlib.chdir(place):
                    exec(code, {})
    with contextlib.chdir(place), commands.drawing(False):
        small = [*commands.SMALL, "--epochs", 1, "--train-samples", 100]
        for beta in (0.5, 1.0):
            commands.call(*small, "--beta", beta)
    [model] = (place / "results").glob("*/*")
    (model / "Runs-1").mkdir()
    words = [str(word) for word in small]
    write_plan(model / "Runs-1", [Run("seed=0", {"seed": "0"}, [*words, "--seed", "0"])])
    load = ["--action", "evaluate", "--load", model / "Trial-1" / "checkpoint.pt"]
    commands.call(*load, "--export", place / "read.safetensors")
    return place


def model_in(place):
    """The folder of the runs that are there."""
    [model] = {path.parent.parent for path in (place / "results").glob(f"*/*/*/{PLAN}")}
    return model


def filled_in(command, place):
    """The words of a printed command, with folders that are there."""
    model = model_in(place)
    files = {
        f"{SOMEWHERE}/checkpoint.pt": model / "Trial-1" / "checkpoint.pt",
        f"{SOMEWHERE}/hyperparameters.json": model / "Trial-1" / "hyperparameters.json",
        f"{SOMEWHERE}/Trial-1": model / "Trial-1",
        f"{SOMEWHERE}/Trial-2": model / "Trial-2",
        f"{SOMEWHERE}/Runs-1": model / "Runs-1",
        "results/ep_disc_1hidden_mnist": model,
        "mine.safetensors": place
        / ("mine.safetensors" if "--export" in command else "read.safetensors"),
    }
    words = [str(files.get(word, word)) for word in shlex.split(command) if "..." not in word[-4:]]
    return [word for word in words if word != "[FOLDER"]


DONE: set[str] = set()  # the options that have been run: some commands differ in what is cut


def run_once(words):
    """Run a command; of many runs the list of them, and the first one."""
    meant = repr(vars(parse(words)))
    if meant in DONE:
        return
    DONE.add(meant)
    if accepted([*words, "--dry-run"]) and is_many(parse([*words, "--dry-run"])):
        text = commands.call(*words, "--dry-run")
        first = text.splitlines()[0]
        assert first.startswith("python main.py ")
        words = cut_down(shlex.split(first)[2:])
    commands.call(*words)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in TOLD_BY_ITSELF])
def test_printed_commands_run(command, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(implicit, "MOST_TIME", MOST_TIME)
    words = filled_in(command, place)
    if {"--help", "--list-presets"} & set(words):
        assert test_docs.status_of(words) == 0
    elif "--resume" in words and "Runs-1" not in command:
        commands.call(*words, "--epochs", 2)
    else:
        run_once(cut_down(words) if command not in PLACEHOLDERS else words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_printed_figures_are_drawn(page, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(plotFunctions, "save", lambda figure, folder, name: [Path(name)])
    for block in blocks(page, "bash"):
        for line in re.findall(r"^python plotFunctions\.py ([^#\n]*)", block, re.M):
            if "Runs-1" not in line:  # which holds no finished run here
                assert plotFunctions.main(filled_in(line, place)) == 0
                assert "compared" in capsys.readouterr().out


PYTHON = [
    pytest.param(block, id=f"{page.stem}-{k}")
    for page in PAGES
    if page.stem not in ("add-a-system", "python")  # which have tests of their own
    for k, block in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("block", PYTHON)
def test_printed_python_runs(block, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    model = model_in(place)
    block = re.sub(r'"results/[^"]*/Trial-1"', repr(str(model / "Trial-1")), block)
    exec(re.sub(r"\bT=\d+", "T=9", block), {})
    assert capsys.readouterr().out or "print(" not in block
