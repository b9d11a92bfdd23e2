"""Run the campaign: what of the papers' tables has not been measured yet, then write its page.

    python -m runs.reproduce                          # everything, for as long as it takes
    python -m runs.reproduce ernoult --jobs 2         # one paper's rows
    python -m runs.reproduce --quick                  # a tenth of each, in less than an hour
    python -m runs.reproduce --dry-run                # what is left, and how long it will take

Each row of systems/reproduction.csv is a command of main.py; after any end the next call goes on.
What has been measured before, by anybody, is in docs/reproduction and is not run again.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from commandLine import parse
from errors import UserError
from options.values import positive_int
from records.names import PLAN
from report.reader import read_results
from report.reproduction import PAPERS, PARTS, Kept, Row, rows_of
from report.reproductionPage import what_is_left, write_page, write_short_table
from systems.listing import SAMPLES

ROOT = Path(__file__).resolve().parent.parent
MOST_EPOCHS = 5  # of a row with many images, by --quick


def main(argv: Sequence[str] | None = None) -> int:
    args = read_options(argv)
    try:
        return reproduce(args)
    except UserError as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return 2


def reproduce(args: argparse.Namespace) -> int:
    """Run what is missing row by row, keep what comes out, and write the page; the exit status."""
    rows = rows_of(args.papers)
    for option, folder in (("--results-dir", args.results_dir), ("--docs", args.docs)):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{option} {folder} is a file: name a folder, which need not exist yet")
    results = args.results_dir / "quick" if args.quick else args.results_dir
    place = results if args.quick else args.docs
    kept = Kept.read(place / "reproduction")
    if args.quick:
        rows = [first_look(row) for row in rows]
    if results.is_dir():
        kept.enter(read_results([results]).runs, rows)
    timed = Kept.read(args.docs / "reproduction")
    print("\n".join(what_is_left(kept, rows, timed)) or "nothing is left to run", flush=True)
    if args.dry_run:
        return 0
    failed = []
    try:
        for row in rows:
            folder = results / row.file.removesuffix(".csv")
            for words in commands_of(row, kept, folder, args):
                print(f"\n{row.name}: python {shlex.join(words)}", flush=True)
                status = run(words)
                if folder.is_dir():
                    kept.enter(read_results([folder]).runs, [row])
                kept.write()
                if status in (-signal.SIGINT, 128 + signal.SIGINT, 128 + signal.SIGTERM):
                    print("stopped; the same command goes on", flush=True)
                    return status
                failed += [row.name] * (status != 0)
    finally:
        kept.write()
        write_page(kept, place / "reproduction.md")
        write_short_table(kept, place.parent / "README.md")
    print(f"\n{place / 'reproduction.md'}")
    if failed:
        print(f"failed, as said above: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


QUICK = f"a tenth of each row's epochs ({MOST_EPOCHS} at most with many images), seeds and images"


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="reproduce", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("papers", nargs="*", metavar="PAPER", help=f"of {', '.join(PAPERS)}; left out: all")
    add("--quick", action="store_true", help=QUICK)
    add("--dry-run", action="store_true", help="print what is left, and end")
    add("--jobs", type=positive_int, default=1, metavar="J", help="so many runs of a row at a time")
    add("--data-dir", type=Path, default=Path("data"), help="where the data sets are")
    add("--results-dir", type=Path, default=Path("results/reproduction"), help="for the results")
    add("--docs", type=Path, default=ROOT / "docs", help="where the page and what it is made of go")
    return parser.parse_args(argv)


def commands_of(row: Row, kept: Kept, folder: Path, args: argparse.Namespace) -> list[list[str]]:
    """The command that measures what is missing of a row: go on, or begin; none if nothing is."""
    seeds = sorted({seed for _, _, seed in kept.missing(row)})
    if not seeds:
        return []
    many = ["--jobs", str(args.jobs)] * (len(seeds) > 1)
    begun = [one.folder for one in read_results([folder]).unfinished] if folder.is_dir() else []
    for path in begun:
        plan = next((p for p in (path, *path.parents) if (p / PLAN).exists()), None)
        jobs = ["--jobs", str(args.jobs)] if plan else []
        words = ["main.py", "--resume", str(plan or path), "--data-dir", str(args.data_dir)]
        return [[*words, *jobs, "--quiet"]]
    words = row.words
    if "--seed" in words:
        place = words.index("--seed")
        words = words[:place] + words[place + 2 :]
    words += ["--seed", str(seeds[0]), "--trials", str(seeds[-1] - seeds[0] + 1), *many]
    where = ["--data-dir", str(args.data_dir), "--results-dir", str(folder)]
    bare = ["--no-figures"] * args.quick  # the page has figures of its own
    return [["main.py", *words, *where, *bare, "--quiet"]]


def first_look(row: Row) -> Row:
    """What --quick does of a row."""
    dataset, words = parse(row.words).dataset, f"--epochs {tenth(row.epochs)}"
    if dataset in SAMPLES:
        n_train, n_test = map(tenth, SAMPLES[dataset])
        words = f"--epochs {min(MOST_EPOCHS, tenth(row.epochs))}"
        words += f" --train-samples {n_train} --test-samples {n_test}"
    return row._replace(seeds=tenth(row.seeds), first=words)


def tenth(n: int) -> int:
    return max(1, n // PARTS)


def run(words: list[str]) -> int:
    """Run a command of this program to its end; a signal to stop is passed on to it."""
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT)

    def forward(number: int, frame: object) -> None:
        process.send_signal(number)

    before = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
