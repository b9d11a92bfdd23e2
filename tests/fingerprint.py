#!/usr/bin/env python3
"""Shows that a rebuild of the program moved nothing: a fingerprint of what short commands bring.

    python tests/fingerprint.py --write before.json                # of this file's checkout
    python tests/fingerprint.py --write after.json ../changed      # of another one
    python tests/fingerprint.py --compare before.json ../changed   # a stored one beside another
    python tests/fingerprint.py --compare before.json after.json   # both stored

Every case runs `python main.py ...` in a folder of its own, with one thread, and takes down what is
printed and written: a hash per tensor of a checkpoint and per array, every column of a table,
every recorded option, texts without times, dates and paths. `--compare` names what is changed,
missing or added, and ends with status 1 if something is changed or missing. Compare on one
machine: sums differ in their last bits between processors and versions of torch.

A tool, not a test, and no part of the program: it knows the command line and the files only. All
cases take about four minutes on two idle cores; `--only NAME ...` runs some of them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

Found = dict[str, str]  # what a case has brought, by name


class Case(NamedTuple):
    """Command lines of main.py, one after the other in one folder.

    RUN is the folder that the first of them has made, STOPPED a line that gets SIGTERM after its
    first epoch. figures: draw them, which takes seconds; else matplotlib is kept from the program.
    """

    lines: list[str]
    figures: bool = False


DIGITS = "--dataset digits --size_tab 10 16 64 --T 6 --Kmax 3 --batch-size 100"
WINE = "--dataset wine --size_tab 3 8 8 13 --T 20 --Kmax 4 --batch-size 10 --lr_tab 0.05"
CURVES = "--action plotcurves --batch-size 5 --T 40 --Kmax 6 --beta 0.01 --curves 3"
SIGNS = "--action receipe --batch-size 20 --batches 2 --T 30 --Kmax 5 --beta 0.1"
GRAPH = "--num_net 3 --T 40 --Kmax 30 --epochs 6"
IMAGES = "--dataset digits --batch-size 250 --epochs 2 --benchmark"
CONV = "--dataset digits --C_tab 4 1 --Fconv 3 --T 8 --Kmax 3 --batch-size 250 --lr_tab 0.1 0.1"
TEST = "--action evaluate --load RUN/checkpoint.pt"
CASES = {
    "energy": Case([f"{DIGITS} --epochs 2", f"{TEST}", f"{SIGNS} --load RUN/checkpoint.pt"]),
    "energy_bptt_resumed": Case(
        [
            f"{DIGITS} --training-method BPTT --no-clamp --epochs 1",
            "--resume RUN --epochs 3",
        ]
    ),
    "energy_benchmark": Case([f"{DIGITS} --benchmark --train-error full --seed 3"], figures=True),
    "energy_tol": Case(
        [
            f"{DIGITS} --dtype float64 --tol 1e-3 --exact-output --activation-function hardsigm "
            "--train-samples 300"
        ]
    ),
    "energy_stopped": Case(
        [f"STOPPED {DIGITS} --T 40 --Kmax 10 --batch-size 20 --epochs 8", "--resume RUN"]
    ),
    "toy_curves": Case(
        [
            f"{CURVES} --toymodel --no-clamp --size_tab 10 50 5 --activation-function tanh "
            "--dt 0.08 --save-full"
        ],
        figures=True,
    ),
    "toy": Case([f"{DIGITS} --toymodel --epochs 2 --beta -0.5", f"{TEST}"]),
    "prototypical": Case([f"{DIGITS} --discrete --benchmark --epochs 2", f"{TEST}"]),
    "prototypical_persistent": Case(
        [
            f"{DIGITS} --discrete --persistent --beta-sign random --epochs 1",
            "--resume RUN --epochs 2",
            f"{TEST}",
        ]
    ),
    "prototypical_curves": Case(
        [f"{CURVES} --dataset digits --discrete --size_tab 10 16 16 64 --tol 1e-6"]
    ),
    "convolutional": Case(
        [f"{CONV} --activation-function hardsigm --benchmark", "--resume RUN --epochs 2", f"{TEST}"]
    ),
    "convolutional_curves": Case(
        [
            f"{CURVES} --dataset digits --C_tab 4 2 1 --Fconv 3 --padding --dtype float64",
            f"{SIGNS} --dataset digits --C_tab 4 1 --Fconv 3",
        ]
    ),
    "convolutional_folder": Case(
        [
            "--dataset folder --data-dir pictures --image-size 12 --C_tab 4 3 --Fconv 3 --T 8 "
            "--Kmax 3 --batch-size 5 --lr_tab 0.5 0.5 --epochs 2"
        ]
    ),
    "small_world_MLFF": Case([f"{WINE} --network-type MLFF --epochs 2", f"{TEST}"]),
    "small_world_no_intra": Case(
        [
            f"{WINE} --network-type SW_no_intra --bypass-p 0.2 --epochs 2 --seed 5",
            "--resume RUN --epochs 3",
            f"{TEST}",
        ],
        figures=True,
    ),
    "small_world_intra_curves": Case(
        [
            f"{CURVES} --dataset wine --size_tab 3 8 8 13 --network-type SW_intra --dt 0.3",
            f"{SIGNS} --dataset wine --size_tab 3 8 8 13 --network-type SW_intra --bypass-mag 0.2",
        ]
    ),
    "regression": Case(
        [
            "--dataset diabetes --size_tab 1 8 8 10 --network-type SW_intra --no-persistent "
            "--beta-sign fixed --T 10 --Kmax 3",
            f"{TEST}",
        ]
    ),
    "deep": Case(
        [
            f"--training-method DEEP {GRAPH} --sparse --regularized --init-state 0 --dt_W 10",
            "--resume RUN --epochs 8",
            f"{TEST}",
        ],
        figures=True,
    ),
    "deep_layered": Case(
        [
            f"--training-method DEEP --dataset and {GRAPH} --layered --N_H 4 3 --sign --beta_0 0.1",
            f"--training-method DEEP --dataset or {GRAPH} --one-hot --stop 1e-3",
        ]
    ),
    "deep_signs": Case(
        [
            f"--training-method DEEP {SIGNS.replace('--batch-size 20', '')} --num_net 2",
            "--preset deep-xor --num_net 2 --T 20 --Kmax 10 --epochs 3",
        ]
    ),
    "asymep": Case([f"--training-method asymEP --dataset xor {GRAPH}", f"{TEST}"]),
    "asymep_curves": Case(
        [f"--action plotcurves --training-method asymEP --dataset xor {GRAPH} --layered --N_H 3"],
        figures=True,
    ),
    "brainprop_dense": Case(
        [f"{IMAGES} --architecture dense --epsilon 0.1", "--resume RUN --epochs 3", f"{TEST}"],
        figures=True,
    ),
    "brainprop_conv": Case([f"{IMAGES} --architecture conv --halve-every 1 --patience 1"]),
    "brainprop_loccon": Case([f"{IMAGES} --architecture loccon --train-samples 500"]),
    "brainprop_deep": Case(
        [
            "--dataset folder --data-dir pictures --image-size 32 --architecture deep --epochs 1 "
            "--batch-size 5 --training-method BrainProp --validation test"
        ]
    ),
    "published_lines": Case(
        [
            "MNIST dense BrainProp -s --epochs 1",
            "MNIST dense BrainProp -l RUN/checkpoint.pt",
            "--preset P-1h --epochs 1 --T 3 --Kmax 2",
        ]
    ),
    "trials": Case([f"{WINE} --network-type MLFF --trials 2 --jobs 2"], figures=True),
    "sweep": Case(
        [
            f"{DIGITS} --discrete --sweep lr_tab 0.1,0.1 1e38,1e38 --sweep beta 0.5 -0.5",
            "--resume RUN --epochs 2",
            "--resume RUN --dry-run --epochs 3",
        ]
    ),
    "sweep_measures": Case(
        [f"{SIGNS} --dataset digits --size_tab 10 16 64 --sweep Kmax 2 5"], figures=True
    ),
    "config": Case([f"{DIGITS} --seed 7", "--config RUN/hyperparameters.json --seed 8"]),
    "report": Case(
        [
            f"{DIGITS} --benchmark",
            f"{DIGITS} --benchmark --seed 1",
            f"{WINE} --network-type SW_no_intra --trials 2",
            f"--training-method DEEP {GRAPH}",
            f"{IMAGES} --architecture dense",
            f"{CURVES} --dataset digits --size_tab 10 16 64",
            "--action report",
        ],
        figures=True,
    ),
    "lists": Case(["--list-presets"]),
    "mistakes": Case(
        [
            "--beta 0",
            "--epoch 3",
            "--dataset digits --size_tab 10 20 784",
            "--dataset digits --Fconv 3",
            "--dataset digits --action receipe --epochs 3",
            "--preset P-1h --config x.json",
            "--resume nowhere",
            "--dataset mnist --data-dir nowhere --action evaluate",
        ]
    ),
}

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_THREADS = ("--action report", "--list-presets")
CLOCK = re.compile(r"second|^s per epoch$|^Total$")  # columns that no two runs share
MACHINE = {"machine", "commit", "started", "versions", "command"}  # of a record
UNSTORED = {".png", ".pdf", ".svg", ".html", ".py"}  # that they are there is all that is taken down
DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)?)?")
MASKS = (
    (DATE, "<date>"),
    (re.compile(r" *\b\d[\d.]*(e[+-]?\d+)? (s|ms|min|h)\b"), " <time>"),
    (re.compile(r"\bcommit [0-9a-f]{7,40}\+?"), "commit <commit>"),
    (re.compile(r"\d+ core\(s\)"), "<cores>"),
)


# ------------------------------------------------------------------------------------ run a case


def fingerprint_of(name: str, checkout: Path) -> Found:
    """Run the commands of a case; return what they print and write."""
    case, found = CASES[name], {}
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        place = Path(folder).resolve()
        lay_out_data(place)
        masked = partial(mask, {str(place): "<place>", str(checkout): "<project>"})
        comparable = True  # where a run is stopped the clock decides, and on what is printed then
        for number, line in enumerate(case.lines, 1):
            stopped = line.startswith("STOPPED ")
            comparable = comparable and not stopped
            words = words_of(line.removeprefix("STOPPED "), place)
            status, printed, errors = run(words, place, checkout, case.figures, stopped)
            found[f"{number}: status"] = str(status)
            if status not in (0, 2, 128 + signal.SIGTERM):
                found[f"{number}: traceback"] = masked(errors)
            elif status == 2:
                found[f"{number}: error"] = masked(errors.strip().splitlines()[-1])
            if comparable:
                found[f"{number}: stdout"] = in_order(masked(printed))
        for path in sorted((place / "results").rglob("*")):
            if path.is_file():
                title = masked(str(path.relative_to(place)))
                found |= {f"{title}: {key}": value for key, value in contents(path, masked)}
    return found


def lay_out_data(place: Path) -> None:
    """Random images: 60 and 30 in the files of MNIST, and a folder of coloured ones."""
    random = np.random.RandomState(0)
    raw = place / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 60), ("t10k", 30)):
        images = random.randint(0, 256, (n, 28, 28)) * (random.rand(n, 28, 28) < 0.2)
        for kind, values in (("images-idx3", images), ("labels-idx1", random.randint(0, 10, n))):
            head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            (raw / f"{prefix}-{kind}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())
    for part in ("train", "test"):
        for kind, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            folder = place / "pictures" / part / kind
            folder.mkdir(parents=True)
            for n in range(10):
                pixels = np.clip(random.normal(colour, 40, (33, 32, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n}.png")
    blocked = place / "blocked"
    blocked.mkdir()
    (blocked / "matplotlib.py").write_text("raise ImportError('kept away by the fingerprint')\n")


def words_of(line: str, place: Path) -> list[str]:
    """The words of a command line, with one thread and the folder of the first run."""
    folders = sorted((place / "results").glob("*/*/*-1"), key=lambda path: path.stat().st_mtime)
    first = str(folders[0].relative_to(place)) if folders else "RUN"
    threads = "" if line.startswith(WITHOUT_THREADS) else " --threads 1"
    return shlex.split((line + threads).replace("RUN", first))


def run(
    words: list[str], place: Path, checkout: Path, figures: bool, stopped: bool
) -> tuple[int, str, str]:
    """Status, standard output and standard error of the program in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if not figures:
        environment["PYTHONPATH"] = str(place / "blocked")
    with subprocess.Popen(
        [sys.executable, str(checkout / "main.py"), *words],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        seen = ""
        while stopped and process.poll() is None:
            line = process.stdout.readline()
            seen += line
            if line.startswith("epoch 1/"):
                process.send_signal(signal.SIGTERM)
                break
        printed, errors = process.communicate()
    return process.returncode, seen + printed, errors


# ------------------------------------------------------------------------- what a file stands for


def contents(path: Path, masked) -> Iterator[tuple[str, str]]:
    """Names and values of what is in a file, one by one, so that an addition is no change."""
    if path.suffix in UNSTORED:
        yield "there", "yes"
    elif path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
        yield from ((key, masked(value)) for key, value in leaves(state, ""))
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            yield from leaves({name: arrays[name] for name in arrays.files}, "")
    elif path.suffix == ".csv":
        yield from ((key, masked(value)) for key, value in columns(path))
    elif path.suffix == ".json":
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict):
            record = {key: value for key, value in record.items() if key not in MACHINE}
        yield from ((key, masked(value)) for key, value in leaves(record, ""))
    elif path.name == "hyperparameters.txt":  # the record again, for people
        lines = path.read_text(encoding="utf-8").splitlines()
        yield "title", lines[0]
    else:
        yield "text", in_order(masked(path.read_text(encoding="utf-8")))


def leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every tensor, array and plain value inside dictionaries and lists, by its way there."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not CLOCK.search(str(key)):
                yield from leaves(part, f"{name}.{key}".strip("."))
    elif isinstance(value, (list, tuple)) and any(
        isinstance(part, (dict, list, tuple, torch.Tensor)) for part in value
    ):
        for number, part in enumerate(value):
            yield from leaves(part, f"{name}[{number}]")
    elif isinstance(value, torch.Tensor):
        yield name, digest(value.detach().contiguous().numpy())
    elif isinstance(value, np.ndarray):
        yield name, digest(value)
    else:
        yield name, repr(value)


def digest(array: np.ndarray) -> str:
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype} {array.shape} {content}"


def columns(path: Path) -> Iterator[tuple[str, str]]:
    """The columns of a table, without those of the clock and the machine."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    yield "rows", str(len(rows))
    for name in rows[0] if rows else ():
        if not CLOCK.search(name) and name not in MACHINE - {"command"}:
            yield name, " | ".join(str(row[name]) for row in rows)


def mask(paths: dict[str, str], text: str) -> str:
    """A text without what differs from run to run."""
    for path, word in paths.items():
        text = text.replace(path, word)
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def in_order(text: str) -> str:
    """A text in which runs that ended side by side stand in order, and tables without the clock."""
    lines, ended, clock = [], [], []
    for line in text.splitlines():
        done = re.match(r"\d+ of \d+  (.*)", line)
        if done:
            ended.append(done[1])
            continue
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not lines or not lines[-1].startswith("|"):  # the heads of a table
                clock = [n for n, cell in enumerate(cells) if CLOCK.search(cell)]
            cells = [cell for n, cell in enumerate(cells) if n not in clock]
            line = "|" + "|".join(cells)
        lines.append(line)
    return "\n".join([*lines, *sorted(ended)])


# --------------------------------------------------------------------------------------- compare


def take(checkout: Path, names: list[str], jobs: int) -> dict[str, Any]:
    """The fingerprint of a checkout."""
    with ThreadPoolExecutor(jobs) as pool:
        found = {}
        of_case = partial(fingerprint_of, checkout=checkout.resolve())
        for name, result in zip(names, pool.map(of_case, names), strict=True):
            found[name] = result
            broken = [key for key in result if key.endswith("traceback")]
            print(f"{name}: {len(result)} names {' '.join(broken)}", file=sys.stderr, flush=True)
    return {"torch": torch.__version__, "numpy": np.__version__, "cases": found}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def compare(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Print what differs between two fingerprints; return whether nothing got lost or moved."""
    for name in ("torch", "numpy"):
        if before[name] != after[name]:
            print(f"note: {name} {before[name]} before, {after[name]} now: last bits may differ")
    equal = True
    for case, old in before["cases"].items():
        new = after["cases"].get(case)
        if new is None:
            equal = False
            print(f"{case}: missing")
            continue
        lines = short([f"  missing  {key}" for key in old if key not in new])
        for key in old:
            if key in new and old[key] != new[key]:
                lines.append(f"  changed  {key}")
                lines += [f"           {line}" for line in differing(old[key], new[key])]
        equal = equal and not lines
        lines += short([f"  added    {key}" for key in new if key not in old])
        print(f"{case}: {'equal' if not lines else ''}")
        print("".join(f"{line}\n" for line in lines), end="")
    for case in after["cases"]:
        if case not in before["cases"]:
            print(f"{case}: added")
    return equal


def short(lines: list[str], most: int = 40) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"  ... and {len(lines) - most} more"]


def differing(old: str, new: str) -> list[str]:
    """The first lines that differ, before and now."""
    before, now = old.splitlines(), new.splitlines()
    length = max(len(before), len(now))
    before += ["<end>"] * (length - len(before))
    now += ["<end>"] * (length - len(now))
    one, other = next((a, b) for a, b in zip(before, now, strict=True) if a != b)
    return [f"- {one[:300]}", f"+ {other[:300]}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "what", nargs="?", type=Path, default=ROOT, help="a checkout or a stored fingerprint"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="store the fingerprint")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="with a stored one")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time (default: 2)")
    args = parser.parse_args()
    if not (args.write or args.compare):
        parser.error("say --write FILE or --compare FILE")
    if not (args.what.is_file() or (args.what / "main.py").is_file()):
        parser.error(f"{args.what} is neither a checkout with a main.py nor a stored fingerprint")
    new = read(args.what) if args.what.is_file() else take(args.what, args.only, args.jobs)
    if args.write:
        args.write.write_text(json.dumps(new, indent=1), encoding="utf-8")
    if not args.compare:
        return 0
    old = read(args.compare)
    old["cases"] = {name: old["cases"][name] for name in args.only if name in old["cases"]}
    return 0 if compare(old, new) else 1


if __name__ == "__main__":
    sys.exit(main())
