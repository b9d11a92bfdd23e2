"""What a run says of itself: how its phases are run, how it ended, what can be typed next."""

from __future__ import annotations

import shlex
from pathlib import Path

from commandLine.settings import Settings, methods_of
from datasets import Dataset
from netClasses import EquilibriumNetwork
from networks.phases import most_sweeps
from networks.schedule import Schedule
from parallel import ALONE, Team
from records.names import CHECKPOINT
from teaching.words import number


def search_in_words(schedule: Schedule, net: EquilibriumNetwork) -> str:
    """How the phases of a training are run, in a line."""
    each = " for each sign of beta" if schedule.both_signs else ""
    each += ", which the weights follow" if schedule.nudge == "continual" else ""
    each += f", noise of {net.noise.state:g} in every one" if net.noise.state else ""
    linear = "then the linear response to a nudge"
    if schedule.solver == "step":
        if schedule.nudge == "linear":
            return f"phases: {schedule.T} free steps, {linear}"
        return f"phases: {schedule.T} free and {schedule.Kmax} nudged steps{each}"
    plan = net.relaxing
    tol, omega = schedule.tol or plan.tol, schedule.omega or plan.omega
    least, most = plan.nudged_sweeps
    nudged = f"{schedule.Kmax} steps"
    if (schedule.nudged or plan.nudged) == "relax" and schedule.nudge == "finite":
        fixed = least == most or net.noise.state
        nudged = f"{least} sweeps" if fixed else f"at least {least} sweeps"
    if net.noise.state:
        return (
            f"phases: {most_sweeps(net, schedule)} free sweeps (omega {omega:g}) and {nudged} "
            f"under the nudge{each}; below: mean (worst), free + nudged"
        )
    return (
        f"phases: free ones relaxed to {tol:g} by at most {most_sweeps(net, schedule)} "
        f"sweeps (omega {omega:g}), "
        + (linear if schedule.nudge == "linear" else f"nudged ones {nudged}{each}")
        + "; below: mean (worst), free + nudged"
    )


def how_to_go_on(folder: Path, team: Team = ALONE) -> str:
    start = "python" if team.alone else f"torchrun --nproc-per-node {team.size}"
    return f"go on with: {start} {shlex.join(['main.py', '--resume', str(folder)])}"


def last_words(
    folder: Path, rows: list[dict], args: Settings, data: Dataset, team: Team, drawn: bool
) -> str:
    """How well a training has ended, where its figures are, and what can be typed next."""
    lines, early = [], False
    for method in methods_of(args):
        own = [row for row in rows if row["method"] == method]
        tested = [row for row in own if row["test_error"] is not None]
        last, best = tested[-1], min(tested, key=lambda row: row["test_error"])
        errors = [number(row["test_error"], data.unit).strip() for row in (last, best)]
        lines.append(
            f"{method}: test error {errors[0]} after epoch {last['epoch']}, the best was "
            f"{errors[1]} after epoch {best['epoch']}"
        )
        early = early or own[-1]["epoch"] < args.epochs
    more = f" --epochs {2 * args.epochs}"
    again = how_to_go_on(folder, team).removeprefix("go on with: ") + more
    if early or args.schedule == "cosine":  # of its own accord: it has nothing to go on for
        load = ["main.py", "--action", "evaluate", "--load", str(folder / CHECKPOINT)]
        again = f"python {shlex.join(load)}"
    return "\n".join([*lines, where_next(folder, drawn, again)])


def where_next(folder: Path, drawn: bool, command: str) -> str:
    """The end of a run: where its results are, and what can be typed next."""
    return f"{'figures' if drawn else 'results'} in {folder}; next: {command}"


def report_of(args: Settings) -> str:
    """The command that sets all results beside the papers'."""
    elsewhere = [] if args.results_dir == Path("results") else [str(args.results_dir)]
    return f"python {shlex.join(['main.py', '--action', 'report', *elsewhere])}"
