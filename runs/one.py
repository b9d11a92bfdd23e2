"""One run: the data and the network that the options describe, and what is done with them.

args = parse(["--dataset", "digits", "--epochs", "3"])
prepare(args)
ACTIONS[args.action](args, argv)  # an action's third argument: its folder, of one run among many
"""

from __future__ import annotations

from pathlib import Path

from commandLine.settings import Settings
from report.tables import write_report
from runs.evaluate import run_evaluation
from runs.listing import run_list
from runs.measure import run_audit, run_curves, run_receipe
from runs.train import run_training


def run_report(args: Settings, argv: list[str], place: Path | None = None) -> None:
    for path in write_report(args.folders or [args.results_dir]):
        print(path)


ACTIONS = {
    "train": run_training,
    "evaluate": run_evaluation,
    "plotcurves": run_curves,
    "receipe": run_receipe,
    "recipe": run_receipe,
    "audit": run_audit,
    "report": run_report,
    "list": run_list,
}
