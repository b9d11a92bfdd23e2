"""What is done with a network: teach it, test it, measure it.

Everything here is written against the base class of netClasses.py and works for every network.

    run = RunFolder(createPath("results", "demo", "cpu"))
    schedule = Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08])
    rows = train({"EP": net}, load_dataset("digits", "data"), schedule, run)
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from datasets import Dataset, Split
from gradientMatching import compute_nSdSDT, compute_NT, compute_nTdT, receipe
from netClasses import EquilibriumNetwork, Pairs, largest_change, settle_rule
from runFolder import RunFolder, createHyperparameterfile, createPath

__all__ = [
    "Schedule",
    "bptt_gradients",
    "compute_NT",
    "compute_nSdSDT",
    "compute_nTdT",
    "createHyperparameterfile",
    "createPath",
    "evaluate",
    "receipe",
    "train",
]

CHECK_EVERY = 50  # batches between two looks at the loss: a look makes a GPU wait
OSCILLATES = 0.05  # change per step above which a state is not at rest


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, how strongly and how fast a network is driven and taught.

    T, Kmax: steps of the free and of the nudged phase; BPTT goes back Kmax steps.
    beta: strength of the nudge. lr_tab: a learning rate per synapse group.
    tol: end a phase when no unit moves more than this in a step (0: never).
    seed: of the order of the data.
    """

    T: int
    Kmax: int
    beta: float
    lr_tab: list[float]
    batch_size: int = 20
    test_batch_size: int = 1000
    epochs: int = 1
    tol: float = 0.0
    seed: int = 0
    dtype: torch.dtype = torch.float32


class TrainingError(Exception):
    """Training cannot go on; the message says where it stopped and what to change."""


class Stopped(Exception):  # noqa: N818  (a wish, not an error)
    """The user asked for an end (Ctrl-C, SIGTERM) and everything so far is saved."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number


# One batch: the rules that teach ---------------------------------------------------------------


@torch.no_grad()
def learn_by_ep(net: EquilibriumNetwork, data, target, schedule: Schedule) -> torch.Tensor:
    """Teach one batch by equilibrium propagation; return the output of the free phase."""
    drive = net.drive(data)
    stop = settle_rule(schedule.tol)
    s_free = net(drive, net.initHidden(drive), schedule.T, observe=stop)
    s_nudged = net(drive, s_free, schedule.Kmax, target, schedule.beta, observe=stop)
    net.learn(drive, s_free, s_nudged, schedule.beta, schedule.lr_tab)
    return s_free[0]


def learn_by_bptt(net: EquilibriumNetwork, data, target, schedule: Schedule) -> torch.Tensor:
    """Teach one batch by BPTT through the last Kmax steps; return the output of the free phase."""
    output, gradients = bptt_gradients(net, data, target, schedule.T, schedule.Kmax)
    net.updateWeights(gradients, [-lr for lr in schedule.lr_tab])
    return output


def bptt_gradients(
    net: EquilibriumNetwork, data: torch.Tensor, target: torch.Tensor, T: int, K: int
) -> tuple[torch.Tensor, Pairs]:
    """Gradients of the loss of a free phase through its last K steps; the others keep no graph.

    Args:
        data: (batch, ...). target: (batch, n_out).
    Returns:
        The output (batch, n_out), and dL/dtheta as (weight, bias) pairs shaped as `net.synapses`;
        L is half the squared error summed over the outputs, mean over the batch.
    """
    with torch.no_grad():
        drive = net.drive(data)
        s = net(drive, net.initHidden(drive), T - K)
    with torch.enable_grad():
        drive = net.drive(data)
        for _ in range(K):
            s = net.stepper(drive, s)
        loss = (s[0] - target).square().sum() / (2 * len(target))
    parameters = [p for pair in net.synapses for p in pair]
    flat = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return s[0].detach(), list(zip(flat[::2], flat[1::2], strict=True))


LEARNING_RULES = {"EP": learn_by_ep, "BPTT": learn_by_bptt}


# Whole data sets --------------------------------------------------------------------------------


class Evaluation(NamedTuple):
    """What `evaluate` measures on a split."""

    error: float  # % of samples whose largest output is not their class
    loss: float  # half the squared error, mean per sample
    residual: float  # largest change of any unit in one more step: 0 at equilibrium
    oscillating: float  # % of samples whose free phase ends in an oscillation of period 2
    silent: int  # output units that are not above 0 for any sample


@torch.no_grad()
def evaluate(net: EquilibriumNetwork, split: Split, schedule: Schedule) -> Evaluation:
    """Test a network: a free phase per batch, the class is the largest output.

    Two steps more tell whether the free phase has come to rest: a state that moves from one step to
    the next, but not from one to the next but one, oscillates with period 2.
    """
    sums, highest = [], None
    for data, target in split.batches(schedule.test_batch_size, schedule.dtype):
        drive = net.drive(data)
        s = net(drive, net.initHidden(drive), schedule.T, observe=settle_rule(schedule.tol))
        once = net(drive, s, 1)
        top = s[0].amax(0)
        highest = top if highest is None else torch.maximum(highest, top)
        moved, back = largest_change(s, once), largest_change(s, net(drive, once, 1))
        sums.append(
            torch.stack(
                [
                    (s[0].argmax(1) != target.argmax(1)).sum().double(),
                    (s[0] - target).square().sum().double() / 2,
                    ((moved > OSCILLATES) & (back < moved / 4)).sum().double(),
                    moved.max().double(),
                ]
            )
        )
    table = torch.stack(sums)
    wrong, loss, oscillating = table[:, :3].sum(0).tolist()
    n, worst, silent = len(split), table[:, 3].max().item(), int((highest <= 0).sum())
    return Evaluation(100 * wrong / n, loss / n, worst, 100 * oscillating / n, silent)


@dataclasses.dataclass
class Progress:
    """Where training stands: enough, with the weights, to go on bit for bit."""

    epoch: int = 1
    method: int = 0  # index of the method whose epoch is under way
    batch: int = 0  # batches of that epoch that are done
    seconds: float = 0.0  # spent on them
    record: torch.Tensor | None = None  # (2, batches): loss and wrong answers of each, summed
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: dict[str, list[float]] = dataclasses.field(default_factory=dict)


class StopRequest:
    """Turns Ctrl-C and SIGTERM into a wish that training grants between two batches.

    A second signal ends the program at once.
    """

    def __init__(self) -> None:
        self.signal_number = 0

    def __enter__(self) -> StopRequest:
        self.previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in self.previous:
                signal.signal(number, self.note)
        except ValueError:  # not the main thread: whoever owns it handles signals
            self.previous = {}
        return self

    def note(self, number: int, frame: Any) -> None:
        self.signal_number = number
        self.restore()

    def restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def __exit__(self, *error: Any) -> None:
        self.restore()


def epoch_order(seed: int, epoch: int, n: int, device: torch.device) -> torch.Tensor:
    """The order of the data in an epoch, (n,); it depends on nothing but its arguments."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> 1))
    return torch.randperm(n, generator=generator).to(device)


def train(
    nets: dict[str, EquilibriumNetwork],
    data: Dataset,
    schedule: Schedule,
    run: RunFolder,
    options: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    quiet: bool = True,
) -> list[dict[str, Any]]:
    """Train each network by its method, epoch by epoch in turn, and record every epoch.

    Args:
        nets: method ("EP", "BPTT") -> network.
        options: kept in the checkpoint, so that it can be read without the folder.
        checkpoint: what `read_checkpoint` returned of the same run; its weights are loaded.
    Returns:
        The rows of metrics.csv.
    Raises:
        TrainingError: a loss is not finite.
        Stopped: by a signal; the checkpoint goes on from the next batch.
        RunError: a file cannot be written.
    """
    progress = Progress()
    if checkpoint:
        progress = Progress(**checkpoint["progress"])
        for method, net in nets.items():
            net.load_state_dict(checkpoint["weights"][method])

    def save() -> None:
        run.write_checkpoint(
            {
                "options": options or {},
                "weights": {method: net.state_dict() for method, net in nets.items()},
                "progress": vars(progress),
            }
        )

    run.write_metrics(progress.rows)
    save()
    with StopRequest() as stop:
        while progress.epoch <= schedule.epochs:
            for index, (method, net) in enumerate(nets.items()):
                if index < progress.method:
                    continue
                try:
                    row = train_epoch(net, method, data, schedule, progress, stop, quiet)
                except Stopped:
                    save()
                    raise
                finish_epoch(progress, row, index, len(nets))
                run.write_metrics(progress.rows)
                run.write_arrays({name: np.array(v) for name, v in progress.notes.items()})
                save()
                print(epoch_line(row, schedule.epochs), flush=True)
                warn_of_traps(progress, method, schedule)
    return progress.rows


def finish_epoch(progress: Progress, row: dict[str, Any], index: int, n_methods: int) -> None:
    """Enter a finished epoch and move on to the next method or epoch."""
    evaluation = row.pop("evaluation")
    progress.rows.append(row)
    for name in ("residual", "oscillating", "silent"):
        notes = progress.notes.setdefault(f"{row['method']}_{name}", [])
        notes.append(getattr(evaluation, name))
    last = index == n_methods - 1
    progress.epoch, progress.method = progress.epoch + last, 0 if last else index + 1
    progress.batch, progress.seconds, progress.record = 0, 0.0, None


def train_epoch(net, method, data, schedule, progress, stop, quiet) -> dict[str, Any]:
    """Run one epoch from where `progress` stands; return its row, with the test's `Evaluation`."""
    n_batches = data.train.n_batches(schedule.batch_size)
    order = epoch_order(schedule.seed, progress.epoch, len(data.train), data.train.x.device)
    if progress.record is None:
        progress.record = torch.zeros(2, n_batches, dtype=torch.float64)
    record = progress.record.to(data.train.x.device)
    learn = LEARNING_RULES[method]
    started = time.perf_counter() - progress.seconds
    bar = tqdm(
        total=n_batches,
        initial=progress.batch,
        desc=f"epoch {progress.epoch} {method}",
        unit="batch",
        disable=quiet,
        leave=False,
        file=sys.stderr,
    )
    with bar:
        batches = data.train.batches(schedule.batch_size, schedule.dtype, order, progress.batch)
        for k, (x, target) in enumerate(batches, progress.batch):
            output = learn(net, x, target, schedule)
            record[0, k] = (output - target).square().sum() / 2
            record[1, k] = (output.argmax(1) != target.argmax(1)).sum()
            bar.update()
            if k % CHECK_EVERY == CHECK_EVERY - 1 or k == n_batches - 1:
                check_finite(record[0, : k + 1], progress.epoch, method)
            if stop.signal_number:
                progress.batch, progress.record = k + 1, record.cpu()
                progress.seconds = time.perf_counter() - started
                where = f"epoch {progress.epoch} ({method}), batch {k + 1} of {n_batches}"
                raise Stopped(stop.signal_number, f"stopped after {where}")
    evaluation = evaluate(net, data.test, schedule)
    loss, wrong = record.sum(1).tolist()
    return {
        "epoch": progress.epoch,
        "method": method,
        "train_error": 100 * wrong / len(data.train),
        "test_error": evaluation.error,
        "loss": loss / len(data.train),
        "seconds": round(time.perf_counter() - started, 3),
        "evaluation": evaluation,
    }


def check_finite(losses: torch.Tensor, epoch: int, method: str) -> None:
    """Raise TrainingError naming the first batch whose loss is not finite."""
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        raise TrainingError(
            f"the loss of {method} is not finite in epoch {epoch}, batch {broken[0].item() + 1}: "
            "lower --lr_tab (or --dt); the checkpoint of the last good epoch is kept"
        )


def warn_of_traps(progress: Progress, method: str, schedule: Schedule) -> None:
    """Say, when it first shows, what is known to spoil training by this method."""
    shares, silent = (progress.notes[f"{method}_{name}"] for name in ("oscillating", "silent"))
    message = ""
    if method == "EP" and schedule.Kmax % 2 and shares[-1] and not any(shares[:-1]):
        message = (
            f"the free phase of {shares[-1]:.2f} % of the test samples ends in an oscillation of "
            f"period 2, and an odd --Kmax ({schedule.Kmax}) compares its opposite phases: use an "
            "even --Kmax, or a smaller --dt"
        )
    if method == "BPTT" and silent[-1] and not any(silent[:-1]):
        message = (
            f"{silent[-1]} output unit(s) stay at 0 for every test sample: clamped, they pass BPTT "
            "no gradient and may never learn; use --no-clamp"
        )
    if message:
        print(f"warning: {message}", file=sys.stderr, flush=True)


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['method']:<4}  "
        f"train error {row['train_error']:6.2f} %  test error {row['test_error']:6.2f} %  "
        f"loss {row['loss']:.4f}  {row['seconds']:.1f} s"
    )
