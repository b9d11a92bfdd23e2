"""Where a run puts what it finds: its folder is taken, described and drawn."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import plotFunctions
from commandLine.settings import Settings, recorded_options
from process import first_of_all
from records.record import createHyperparameterfile
from runFolder import RunFolder, createPath
from runs.log import keep_in

OWN_NETWORK = "network.py"  # in a folder: the file that defines a network of the user's


def draw_figures(path: Path) -> None:
    """Draw what a folder has data for; a figure that fails costs nobody the numbers."""
    try:
        for figure in plotFunctions.plot_folder(path):
            print(f"figure {figure}")
    except ImportError as error:
        print(f"warning: no figures ({error}); draw them later with", file=sys.stderr)
        print(f"  python {path / 'plotFunctions.py'}", file=sys.stderr)


def new_run(
    args: Settings, argv: list[str], title: str, place: Path | None, part: str = ""
) -> RunFolder:
    """Take a folder and write down what is going to be run.

    Args:
        place: the folder of one run among many; None: the next free one of --results-dir.
        part: of one run among many, a folder inside its own.
    """
    if place is not None:
        run = RunFolder(place / part)
        if part:
            run.path.mkdir(exist_ok=True)
    else:
        run = RunFolder(createPath(args.results_dir, folder_of(args), device_name(args)))
    title = f"{title}, {args.system.name} network, {args.dataset}"
    createHyperparameterfile(
        run.path, title, recorded_options(args), ["main.py", *argv], args.system.name
    )
    run.copy_plotting()
    if source := args.system.source(args):
        run.write_text(OWN_NETWORK, source.read_text(encoding="utf-8"))
    keep_in(run.path)
    return run


def warn_of_changes(args: Settings, run: RunFolder) -> None:
    """Say if a network of the user's is not defined as it was when the run began."""
    source, kept = args.system.source(args), run.path / OWN_NETWORK
    if source and kept.exists() and kept.read_text("utf-8") != source.read_text("utf-8"):
        print(
            f"warning: {source} has changed since the run began, with {kept}",
            file=sys.stderr,
            flush=True,
        )


def part_of(nets: dict, name: str) -> str:
    """The folder for one network of several that are loaded."""
    return name if len(nets) > 1 else ""


def folder_of(args: Settings) -> str:
    """Folder of the runs of a kind of network on a data set, such as ep_disc_2hidden_mnist."""
    name = args.dataset
    if name in ("file", "folder"):
        name = re.sub(r"[^\w.-]", "_", args.data_dir.stem) or name
    return f"{args.system.folder_name(args)}_{name}"


def device_name(args: Settings) -> str:
    return "cpu" if args.device_label < 0 else f"cuda{args.device_label}"


def shows_progress(args: Settings) -> bool:
    return not args.quiet and sys.stderr.isatty() and first_of_all()
