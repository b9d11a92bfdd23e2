"""What is done with a network: teach it, test it, measure it.

Everything here is written against the base class of netClasses.py and works for every network.

    run = RunFolder(createPath("results", "demo", "cpu"))
    schedule = Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08])
    rows = train({"EP": net}, load_dataset("digits", "data"), schedule, run)
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from tqdm import tqdm

from datasets import Dataset, Split, crop_and_flip
from errors import RunError, Stopped, TrainingError
from gradientMatching import compute_nSdSDT, compute_NT, compute_nTdT, receipe
from networks.base import Lesson, Schedule, Tensors, is_of_search, other_sign
from networks.cost import Products, is_counted, passes
from parallel import WORST, Team
from process import NEVER, StopRequest
from runFolder import RECORD, RunFolder, createHyperparameterfile, createPath

__all__ = [
    "Schedule",
    "compute_NT",
    "compute_nSdSDT",
    "compute_nTdT",
    "createHyperparameterfile",
    "createPath",
    "evaluate",
    "receipe",
    "train",
]

SHARE_OF_SAVING = 0.05  # of the time, spent on writing results while training
LARGE_RATE, LARGE_BETA = 100.0, 20.0  # far above all with which anything is learnt
CHECK_EVERY = 50  # batches between two looks at the loss: a look makes a GPU wait


# Whole data sets --------------------------------------------------------------------------------


class Particles:
    """The free state of every sample of a split, kept from one pass to the next.

    A batch is a span of places in the order of a pass, which must not change. A process that
    teaches with others stores its own rows of every batch.
    """

    def __init__(self, layers: Tensors | None = None, frozen: bool = False):
        self.layers = layers  # per layer (n stored here, ...)
        self.frozen = frozen  # read, not written

    def start(self, span: slice) -> Tensors | None:
        """Where the batch ended last time, or None before its first."""
        return None if self.layers is None else [layer[span] for layer in self.layers]

    def keep(self, span: slice, state: Tensors, n: int) -> None:
        """Store where the batch ended, of n samples that are stored here."""
        if self.frozen:
            return
        if self.layers is None:
            self.layers = [v.new_zeros(n, *v.shape[1:]) for v in state]
        for layer, v in zip(self.layers, state, strict=True):
            layer[span] = v

    @contextlib.contextmanager
    def whole_pass(self) -> Iterator[None]:
        """Around a pass: one that is stopped leaves everything as it was before."""
        before = self.layers and [layer.clone() for layer in self.layers]
        try:
            yield
        except Stopped:
            self.layers = before
            raise


@torch.no_grad()
def are_states(
    layers: Tensors | None, net: torch.nn.Module, split: Split, dtype: torch.dtype
) -> bool:
    """Whether layers can be the free states of all samples of a split; there may be none yet."""
    if layers is None:
        return True
    one, _ = split.batch(slice(0, 1), dtype)
    shapes = [(len(split), *v.shape[1:]) for v in net.initHidden(net.drive(one))]
    return [tuple(v.shape) for v in layers] == shapes


class Evaluation(NamedTuple):
    """What `evaluate` measures on a split."""

    error: float  # % of wrong answers; in regression half the squared error, mean per sample
    loss: float  # half the squared error, or the cross-entropy, mean per sample
    silent: int  # output units that are not above 0 for any sample
    # Of equilibrium networks: residual, the largest change of any unit in one more step (0 at
    # equilibrium), and oscillating, % of samples whose free phase ends in an oscillation.
    measures: dict[str, Any]


@torch.no_grad()
def evaluate(
    net: torch.nn.Module,
    split: Split,
    schedule: Schedule,
    method: str = "EP",
    particles: Particles | None = None,
    order: torch.Tensor | None = None,
) -> Evaluation:
    """Test a network on a split.

    Args:
        method: what the network was taught by, a key of its `rules`.
        particles: where the free phases start, and are kept for the next time.
        order: of the samples, as for `Split.batches`.
    Raises:
        Stopped: of a network that is being trained, by a signal.
    """
    sums, measured, highest, team = [], [], None, net.team
    size = schedule.test_batch_size
    for k, batch in enumerate(split.batches(size, schedule.dtype, order)):
        net.stopping.grant()
        data, target = team.deal(*batch)
        span = team.stored_span(k, size)
        start = particles.start(span) if particles else None
        with net.noise.during(net.devices, schedule.seed, schedule.epoch, k, team.rank):
            lesson = net.rules[method].test(net, data, target, schedule, start)
        if particles:
            particles.keep(span, lesson.state, team.n_stored(len(split), size))
        top = lesson.output.flatten(0, -2).amax(0)
        highest = top if highest is None else torch.maximum(highest, top)
        sums.append(torch.stack(errors_of(split, net, lesson.output, target)))
        measured.append((len(data) / len(split), lesson.measures))
    error, loss = (team.total(torch.stack(sums).sum(0)) / len(split)).tolist()
    silent = int((team.highest(highest) <= 0).sum())
    return Evaluation(error, loss, silent, combined(measured, team))


def errors_of(
    split: Split, net: torch.nn.Module, output: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Error and loss, summed over the batch; mean over networks that go on."""
    wrong = split.mistakes(output, target).double()  # ([networks,] batch)
    losses = net.loss.of(output, target).double()
    return wrong.sum(-1).nanmean(), losses.sum(-1).nanmean()


def combined(measured: list[tuple[float, dict[str, torch.Tensor]]], team: Team) -> dict[str, Any]:
    """The measures of all batches as one: the largest residual, else the mean per sample."""
    whole = {}
    for name in measured[0][1]:
        values = torch.stack([measures[name].double() for _, measures in measured])
        if name == "residual":
            whole[name] = team.highest(values.amax(0)).tolist()
        else:
            shares = values.new_tensor([share for share, _ in measured])
            whole[name] = team.total(torch.tensordot(shares, values, 1)).tolist()
    return whole


@dataclasses.dataclass
class Progress:
    """Where training stands: enough, with weights and particles, to go on bit for bit."""

    epoch: int = 1
    method: int = 0  # index of the method whose epoch is under way
    batch: int = 0  # batches of that epoch that are done
    seconds: float = 0.0  # spent on them
    record: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)  # per batch so far
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: dict[str, list] = dataclasses.field(default_factory=dict)  # per epoch, of the test
    # By method and name, what was measured while teaching, (epochs, batches, ...).
    history: dict[str, dict[str, torch.Tensor]] = dataclasses.field(default_factory=dict)
    best: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # error, epoch
    over: list[str] = dataclasses.field(default_factory=list)  # methods that were stopped early
    # By method, passes through all weights per sample in the last batch that was counted.
    products: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def is_over(self, method: str) -> bool:
        return method in self.over

    def enter(self, row: dict[str, Any], schedule: Schedule) -> bool:
        """Enter a finished epoch; return whether it is the best so far by what decides."""
        method, evaluation = row["method"], row.pop("evaluation")
        self.rows.append(row)
        if evaluation is not None:
            measures = {"silent": evaluation.silent, **evaluation.measures}
            if schedule.test_every > 1:  # which epochs the others are of
                measures["epoch"] = row["epoch"]
            for name, value in measures.items():
                self.notes.setdefault(f"{method}_test_{name}", []).append(value)
        history = self.history.setdefault(method, {})
        for name, values in self.record.items():
            if is_of_search(name):
                whole = values.max() if name.endswith(WORST) else values.mean()
                self.notes.setdefault(f"{method}_{name}", []).append(whole.item())
            elif name not in ("error", "loss"):
                before = history.get(name, values.new_zeros(0, *values.shape))
                history[name] = torch.cat([before, values[None]])
        gains, ends = self.verdict(row, schedule)
        if gains:
            self.best[method] = {"error": deciding(row), "epoch": row["epoch"]}
        if ends:
            self.over.append(method)
        return gains

    def verdict(self, row: dict[str, Any], schedule: Schedule) -> tuple[bool, bool]:
        """Whether an epoch is the best so far by what decides, and whether its method ends."""
        late = self.is_late(row, schedule)
        if not schedule.patience:
            return False, late
        best, error = self.best.get(row["method"]), deciding(row)
        if best is None or error <= best["error"] - schedule.min_gain:
            return True, late
        return False, late or row["epoch"] - best["epoch"] >= schedule.patience

    def is_late(self, row: dict[str, Any], schedule: Schedule) -> bool:
        """Whether the time of a method is over with this epoch."""
        before = [one for one in self.rows if one["method"] == row["method"] and one is not row]
        seconds = row["seconds"] + sum(one["seconds"] for one in before)
        return 0 < 60 * schedule.minutes <= seconds

    def kept_epochs(self) -> dict[str, int]:
        """By method, the epoch whose weights are kept: with patience the best, else the last."""
        last = {row["method"]: row["epoch"] for row in self.rows}
        return last | {method: best["epoch"] for method, best in self.best.items()}

    def move_on(self, index: int, n_methods: int) -> None:
        """To the next method, or to the next epoch."""
        last = index == n_methods - 1
        self.epoch, self.method = self.epoch + last, 0 if last else index + 1
        self.batch, self.seconds, self.record = 0, 0.0, {}


def deciding(row: dict[str, Any]) -> float:
    """The error of an epoch that decides on the best one: on the validation data, if there are."""
    return row.get("validation_error", row["test_error"])


def epoch_order(seed: int, epoch: int, n: int, device: torch.device) -> torch.Tensor:
    """The order of the data in an epoch, (n,); it depends on nothing but its arguments."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> 1))
    return torch.randperm(n, generator=generator).to(device)


def train(
    nets: dict[str, torch.nn.Module],
    data: Dataset,
    schedule: Schedule,
    run: RunFolder,
    options: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    quiet: bool = True,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train each network by its method, epoch by epoch in turn, and record every epoch.

    Args:
        nets: method (a key of its `rules`) -> network.
        options: kept in the checkpoint, so that it can be read without the folder.
        checkpoint: what `read_checkpoint` returned of the same run; its weights are loaded.
        run: of several processes that teach together only the first one's is written to.
        watch: called with each new row of metrics.csv.
    Returns:
        The rows of metrics.csv.
    Raises:
        TrainingError: a loss is not finite, or a batch has fewer samples than there are processes.
        LostProcess: one of those has ended.
        Stopped: by a signal; the checkpoint goes on from the next batch.
        RunError: a file cannot be written.
    """
    for method, net in nets.items():
        net.method, net.plan = method, dataclasses.replace(schedule, epoch=schedule.epochs + 1)
    if not (run.path / RECORD).exists() and not next(iter(nets.values())).team.rank:
        options = options_of(nets, data, schedule) | (options or {})
        title = f"{' and '.join(nets)} training from Python, {data.name}"
        createHyperparameterfile(run.path, title, options, sys.argv)
        run.copy_plotting()
    state = Training(nets, data, schedule, run, options or {})
    if checkpoint:
        state.restore(checkpoint)
    state.save()
    progress = state.progress
    with StopRequest() as stop, heard_by(nets.values(), stop), state.bar(quiet) as bar:
        while progress.epoch <= schedule.epochs and not all(map(progress.is_over, nets)):
            for index, method in enumerate(nets):
                if index < progress.method:
                    continue
                if progress.is_over(method):
                    bar.total -= data.train.n_batches(schedule.batch_size)
                else:
                    row = state.teach(method, stop, bar)
                    if watch is not None:
                        watch(row)
                progress.move_on(index, len(nets))
                state.save(now=False)
    state.save()
    return progress.rows


@contextlib.contextmanager
def heard_by(nets: Iterable[torch.nn.Module], stop: StopRequest) -> Iterator[None]:
    """Let networks look within a phase whether they are to stop.

    Several processes that teach together only stop between two batches, all after the same one.
    """
    nets = [net for net in nets if net.team.alone]
    for net in nets:
        net.stopping = stop
    try:
        yield
    finally:
        for net in nets:
            net.stopping = NEVER


def options_of(
    nets: dict[str, torch.nn.Module], data: Dataset, schedule: Schedule
) -> dict[str, Any]:
    """The options of the command line that a training stands for, so that readers know it."""
    first = next(iter(nets.values()))
    plan = dataclasses.asdict(schedule)
    same = ("T", "Kmax", "beta", "lr_tab", "batch_size", "test_batch_size", "epochs", "tol", "seed")
    same += ("persistent", "solver", "test_every", "optimizer", "momentum", "weight_decay")
    same += ("warmup",)
    options = {name: plan[name] for name in same} | {
        "action": "train",
        "dataset": data.name,
        "training_method": next(iter(nets)),
        "benchmark": len(nets) > 1,
        "beta_sign": "both"
        if schedule.both_signs
        else "random"
        if schedule.random_sign
        else "fixed",
        "nudge": schedule.nudge,
        "state_noise": first.noise.state,
        "weight_noise": first.noise.weight,
        "dtype": str(schedule.dtype).removeprefix("torch."),
        "train_error": "full" if schedule.measure_training else "online",
        "schedule": "cosine" if schedule.cosine else "step" if schedule.halve_every else "constant",
        "threads": torch.get_num_threads(),
    }
    for name in (
        "patience",
        "minutes",
        "halve_every",
        "omega",
        "max_sweeps",
        "lr_tab",
    ):  # not asked for
        options[name] = plan[name] or None
    for name in ("batch_size", "test_batch_size"):  # larger than any data: all of them
        options[name] = plan[name] if plan[name] < sys.maxsize else None
    if schedule.solver != "step":
        options["T"] = None
    return options | first.options()


class Training:
    """A training under way: the networks, and all that a checkpoint must keep of them."""

    def __init__(
        self,
        nets: dict[str, torch.nn.Module],
        data: Dataset,
        schedule: Schedule,
        run: RunFolder,
        options: dict[str, Any],
    ) -> None:
        self.nets, self.data, self.schedule, self.run = nets, data, schedule, run
        self.options, self.team = options, next(iter(nets.values())).team
        check_shares(self.team, data, schedule)
        check_rates(schedule)
        for net in nets.values():
            net.use_optimizer(schedule)
        self.progress = Progress()
        self.best: dict[str, dict[str, torch.Tensor]] = {}  # weights of the best epoch
        self.particles = {method: (Particles(), Particles()) for method in nets}  # train, test
        self.fixed = {"error_unit": np.array(data.unit), "lr_tab": np.array(schedule.lr_tab)}
        for method, net in nets.items():
            self.fixed |= arrays_of(method, net.initial_records())
        self.saved_at, self.cost_of_saving = -math.inf, 0.0

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take up what `save` has written.

        Args:
            checkpoint: as `read_checkpoint` returns it.
        Raises:
            RunError: it is of other methods, of another network or of other data.
        """
        weights, particles = checkpoint["weights"], checkpoint["particles"]
        self.progress = Progress(**checkpoint["progress"])
        for row in self.progress.rows:
            row.setdefault("products", None)  # which older programs did not count
        self.best = checkpoint.get("best", {})
        if wrong := self.misplaced(weights):
            raise self.foreign(wrong)
        device = self.data.train.x.device
        for method, net in self.nets.items():
            for state in (self.best.get(method, weights[method]), weights[method]):
                try:
                    net.load_state_dict(state)
                except RuntimeError:  # says what differs in many lines
                    raise self.foreign(f"holds another network for {method}") from None
            self.restore_optimizer(method, checkpoint)
            stored = particles.get(method, (None, None))
            for layers, split in zip(stored, (self.data.train, self.data.test), strict=True):
                if not are_states(layers, net, split, self.schedule.dtype):
                    raise self.foreign(f"holds states of {method} for other data")
            self.particles[method] = tuple(
                Particles(self.team.own_part(layers and [v.to(device) for v in layers], size))
                for layers, (_, size) in zip(stored, self.passes, strict=True)
            )

    def restore_optimizer(self, method: str, checkpoint: dict[str, Any]) -> None:
        optimizer, stored = self.nets[method].optimizer, checkpoint.get("optimizers", {})
        try:
            if optimizer is not None:
                optimizer.load(stored.get(method, {}))
        except ValueError:
            raise self.foreign(f"holds no state of --optimizer {optimizer.name}") from None

    def misplaced(self, weights: dict[str, Any]) -> str:
        """Where a checkpoint stands that this training cannot, in words; nothing if it can."""
        progress, methods = self.progress, self.nets.keys()
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        done = progress.rows[-1]["epoch"] if progress.rows else 0
        named = {row["method"] for row in progress.rows} | self.best.keys() | set(progress.over)
        if weights.keys() != methods:
            return f"is of {', '.join(weights)}, not of {', '.join(methods)}"
        if foreign := sorted(named - methods):
            return f"has epochs of {', '.join(foreign)}"
        if progress.method >= len(methods) or progress.epoch not in (done, done + 1):
            return f"stands at epoch {progress.epoch}, its results at epoch {done}"
        if progress.batch > n_batches:
            return f"stands at batch {progress.batch} of {n_batches}"
        if progress.batch and not {"error", "loss"} <= progress.record.keys():
            return f"lacks the losses of the {progress.batch} batches before"
        if any(v.shape[:1] != (n_batches,) for v in progress.record.values()):
            return f"has records that are not of {n_batches} batches"
        return ""

    def foreign(self, what: str) -> RunError:
        return RunError(f"{self.run.path / 'checkpoint.pt'} is of another run: it {what}")

    @property
    def passes(self) -> list[tuple[int, int]]:
        """Samples and batch size of a pass over the training and over the test data."""
        plan = self.schedule
        sizes = (plan.batch_size, plan.test_batch_size)
        return list(zip((len(self.data.train), len(self.data.test)), sizes, strict=True))

    def save(self, now: bool = True) -> None:
        """Write all there is; unless `now`, only if that takes a small share of the time."""
        started = time.perf_counter()
        if not now:
            now = started - self.saved_at >= self.cost_of_saving / SHARE_OF_SAVING
            now = self.team.first_says(now, self.data.train.x.device)
        if not now:
            return
        particles = {
            method: tuple(
                self.team.joined(p.layers, *one) for p, one in zip(both, self.passes, strict=True)
            )
            for method, both in self.particles.items()
        }
        if self.team.rank:
            return
        self.run.write_metrics(self.progress.rows)
        self.run.write_arrays(self.fixed | measured_arrays(self.nets, self.progress))
        self.run.write_checkpoint(
            {
                "options": self.options,
                "weights": {method: net.state_dict() for method, net in self.nets.items()},
                "particles": particles,
                "optimizers": {
                    method: net.optimizer.state
                    for method, net in self.nets.items()
                    if net.optimizer is not None
                },
                "best": self.best,
                "progress": vars(self.progress),
            }
        )
        self.saved_at = time.perf_counter()
        self.cost_of_saving = self.saved_at - started

    def bar(self, quiet: bool) -> tqdm:
        """A progress bar over the batches of the whole run, which tells the time that is left."""
        n, progress = self.data.train.n_batches(self.schedule.batch_size), self.progress
        epochs_done = len(self.nets) * (progress.epoch - 1) + progress.method
        return tqdm(
            total=n * len(self.nets) * self.schedule.epochs,
            initial=n * epochs_done + progress.batch,
            unit="batch",
            smoothing=0,  # the mean over training and testing
            disable=quiet,
            leave=False,
            file=sys.stderr,
        )

    def teach(self, method: str, stop: StopRequest, bar: tqdm) -> dict[str, Any]:
        """Run an epoch of one method and enter what came out; return its row of metrics.csv."""
        net, progress = self.nets[method], self.progress
        plan = dataclasses.replace(self.schedule, epoch=progress.epoch)
        epoch = Epoch(net, method, self.data, plan, self.particles[method], bar)
        try:
            row = epoch.run(progress, stop)
        except Stopped:
            self.save()
            raise
        except TrainingError:  # the weights are spoilt, the rows are not
            if not self.team.rank:
                self.run.write_metrics(progress.rows)
            raise
        if progress.enter(row, self.schedule):
            self.best[method] = copied(net.state_dict())
        line = epoch_line(row, self.schedule.epochs, self.data.unit)
        with tqdm.external_write_mode():
            print(line + sweeps_in_words(progress.record), flush=True)
            if row["test_error"] is not None:
                warn_of_traps(progress, method, self.schedule)
        return row


def check_shares(team: Team, data: Dataset, schedule: Schedule) -> None:
    """Raise TrainingError where a batch has nothing for one of the processes."""
    parts = [("--batch-size", data.train, schedule.batch_size)]
    parts.append(("--test-batch-size", data.test, schedule.test_batch_size))
    if data.validation is not None:
        parts.append(("--test-batch-size", data.validation, schedule.test_batch_size))
    for option, split, size in parts:
        last = min(size, (len(split) - 1) % size + 1, len(split))
        if last < team.size:
            raise TrainingError(
                f"{option} {min(size, len(split))}: a batch of {last} samples cannot be shared by "
                f"{team.size} processes"
            )


def cautions_of(schedule: Schedule) -> list[str]:
    """What is known beforehand to keep a training from learning, a sentence each.

    Raises:
        TrainingError: it cannot even begin.
    """
    check_rates(schedule)
    rate, beta, found = max(schedule.lr_tab, default=0.0), abs(schedule.beta or 0.0), []
    if rate > LARGE_RATE:
        found.append(
            f"--lr_tab {rate:g} moves weights so far in one batch that units are held at 0 or 1 "
            "and cannot move back: rates from 0.001 to 1 are usual"
        )
    if beta > LARGE_BETA:
        found.append(
            f"--beta {schedule.beta:g} holds the outputs at their targets, and updates are divided "
            "by it: strengths from 0.01 to 1 are usual"
        )
    return found


def what_to_lower(schedule: Schedule) -> str:
    """The options that make a step smaller, those that are unusually large before others."""
    if not schedule.lr_tab:
        return "--dt_W (or --dt)"
    rate, beta = max(schedule.lr_tab), abs(schedule.beta or 0.0)
    large = ["--beta"] * (beta > LARGE_BETA) + ["--lr_tab"] * (rate > LARGE_RATE)
    return " and ".join(large) or ("--lr_tab (or --dt)" if schedule.Kmax else "--lr_tab")


def check_rates(schedule: Schedule) -> None:
    """Raise TrainingError where what weights change by is no number of their type."""
    rate, beta = max(schedule.lr_tab, default=0.0), schedule.beta or 1.0
    if rate / abs(beta) > torch.finfo(schedule.dtype).max:
        raise TrainingError(
            f"--lr_tab {rate:g} over --beta {beta:g} is more than "
            f"{str(schedule.dtype).removeprefix('torch.')} holds: lower the rate"
        )
    if rate * schedule.weight_decay >= 1:
        raise TrainingError(
            f"--weight-decay {schedule.weight_decay:g} times the rate {rate:g} is 1 or more, which "
            "would take all of a weight away at once: lower one of them"
        )


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they are now, on the CPU."""
    return {name: v.detach().to("cpu", copy=True) for name, v in state.items()}


def measured_arrays(nets: dict[str, torch.nn.Module], progress: Progress) -> dict[str, np.ndarray]:
    """What results.npz holds of a training: notes per epoch, measures per batch, the networks'."""
    arrays = {name: np.array(values) for name, values in progress.notes.items()}
    for method, epoch in progress.kept_epochs().items():
        arrays[f"{method}_kept_epoch"] = np.array(epoch)
    for method, net in nets.items():
        counted = [row["products"] for row in progress.rows if row["method"] == method]
        arrays[f"{method}_products"] = np.array(counted, dtype=float)  # NaN where there is none
        history = progress.history.get(method, {})
        arrays |= arrays_of(method, history) | arrays_of(method, net.records(history))
    return arrays


def arrays_of(method: str, tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {f"{method}_{name}": values.cpu().numpy() for name, values in tensors.items()}


class Epoch(NamedTuple):
    """One epoch of one network: its batches, then the test."""

    net: torch.nn.Module
    method: str
    data: Dataset
    schedule: Schedule
    particles: tuple[Particles, Particles]
    bar: tqdm  # of the run

    def run(self, progress: Progress, stop: StopRequest) -> dict[str, Any]:
        """Go on from where `progress` stands; return the row, with the test's `Evaluation`."""
        started = time.perf_counter() - progress.seconds
        train, n_batches = self.data.train, self.data.train.n_batches(self.schedule.batch_size)
        device = train.x.device
        record = {name: v.to(device) for name, v in progress.record.items()}
        draws = batch_draws(self.schedule.seed, self.schedule.epoch, n_batches)
        self.bar.set_description_str(
            f"epoch {self.schedule.epoch}/{self.schedule.epochs} {self.method}"
        )
        first, schedule = progress.batch, self.schedule
        batches = train.batches(schedule.batch_size, schedule.dtype, self.order, first)
        for k, batch in enumerate(batches, first):
            x, target = self.net.team.deal(*batch)
            counts = k == 0 and is_counted(schedule.epoch, n_batches) and self.net.block is None
            try:
                with Products() if counts else contextlib.nullcontext() as products:
                    lesson = self.teach(k, x, target, int(draws[k]))
            except Stopped as stopped:  # in a phase, before it has changed anything
                self.halt(progress, record, k, started, stopped.signal_number)
            if products is not None:
                progress.products[self.method] = passes(self.net, products.total, len(x))
            error, loss = errors_of(train, self.net, lesson.output, target)
            values, signal_number = self.net.team.pool(
                {"error": error, "loss": loss}, lesson.measures, stop.signal_number
            )
            for name, value in values.items():
                if name not in record:
                    record[name] = value.new_zeros(n_batches, *value.shape)
                record[name][k] = value
            self.bar.update()
            if k % CHECK_EVERY == CHECK_EVERY - 1 or k == n_batches - 1:
                check_finite(record["loss"][: k + 1], self.schedule, self.method)
            if signal_number:
                self.halt(progress, record, k + 1, started, signal_number)
        progress.record = {name: v.cpu() for name, v in record.items()}
        try:
            with self.particles[1].whole_pass():
                return self.row(progress, started)
        except Stopped as stopped:
            self.halt(progress, record, n_batches, started, stopped.signal_number)

    def halt(
        self,
        progress: Progress,
        record: dict[str, torch.Tensor],
        n_done: int,
        started: float,
        signal_number: int,
    ) -> NoReturn:
        """Note how far the epoch has come, so many batches, and end it."""
        progress.batch = n_done
        progress.record = {name: v.cpu() for name, v in record.items()} if n_done else {}
        progress.seconds = time.perf_counter() - started
        where = f"epoch {self.schedule.epoch} ({self.method}), batch {n_done}"
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        raise Stopped(signal_number, f"stopped after {where} of {n_batches}")

    @property
    def order(self) -> torch.Tensor:
        """Of the training data; with particles the same in every epoch."""
        train, schedule = self.data.train, self.schedule
        epoch = 0 if schedule.persistent else schedule.epoch
        return epoch_order(schedule.seed, epoch, len(train), train.x.device)

    def teach(self, k: int, x: torch.Tensor, target: torch.Tensor, draw: int) -> Lesson:
        """Teach batch k; `draw` decides all that is random in it."""
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        schedule = self.schedule.at(self.schedule.epoch, k, n_batches)
        particles = self.particles[0]
        torch.default_generator.manual_seed(draw)  # torch.manual_seed asks all devices, in 1 ms
        if x.is_cuda:
            torch.cuda.manual_seed(draw)
        if schedule.augment:
            x = crop_and_flip(x, self.net.team)
        if schedule.random_sign and draw % 2:
            schedule = dataclasses.replace(schedule, beta=other_sign(self.net, schedule))
        team, size = self.net.team, schedule.batch_size
        span = team.stored_span(k, size)
        start = particles.start(span) if schedule.persistent else None
        with self.net.noise.during(self.net.devices, draw, team.rank):
            lesson = self.net.rules[self.method].learn(self.net, x, target, schedule, start)
        if schedule.persistent:
            particles.keep(span, lesson.state, team.n_stored(len(self.data.train), size))
        return lesson

    def row(self, progress: Progress, started: float) -> dict[str, Any]:
        """Test the network; return the epoch's row of metrics.csv and the test's results.

        An epoch that is not tested has None for both.
        """
        data, schedule, record = self.data, self.schedule, progress.record
        error, loss = (record[k].sum().item() / len(data.train) for k in ("error", "loss"))
        due = schedule.epoch % schedule.test_every == 0 or schedule.epoch == schedule.epochs
        due |= data.validation is None and schedule.patience > 0  # where the test decides
        found = Evaluation(error, loss, 0, {}) if data.test is data.train else None
        found = found or (self.tested() if due else None)
        row = {
            "epoch": schedule.epoch,
            "method": self.method,
            "train_error": error,
            "test_error": found and found.error,
            "loss": loss,
            "seconds": round(time.perf_counter() - started, 3),
        }
        if data.validation is not None:
            held_out = evaluate(self.net, data.validation, schedule, self.method)
            row["validation_error"] = held_out.error
        if found is None and any(progress.verdict(row, schedule)):
            found = self.tested()
            row["test_error"] = found.error
        if schedule.measure_training:
            row["train_error_full"] = self.training_error()
        return row | {"products": progress.products.get(self.method), "evaluation": found}

    def tested(self) -> Evaluation:
        """What the network as it is now does on the test data."""
        particles = self.particles[1] if self.schedule.persistent else None
        return evaluate(self.net, self.data.test, self.schedule, self.method, particles)

    def training_error(self) -> float:
        """Error on the training data of the network as it is now."""
        particles, train, team, plan = None, self.data.train, self.net.team, self.schedule
        if plan.persistent:
            layers = team.joined(self.particles[0].layers, len(train), plan.batch_size)
            particles = Particles(team.own_part(layers, plan.test_batch_size), frozen=True)
        return evaluate(self.net, train, plan, self.method, particles, self.order).error


def batch_draws(seed: int, epoch: int, n_batches: int) -> np.ndarray:
    """A number per batch, (n_batches,) uint64, from which all that is random in it follows."""
    return np.random.SeedSequence([seed, epoch, 1]).generate_state(n_batches, np.uint64) >> 1


def check_finite(losses: torch.Tensor, schedule: Schedule, method: str) -> None:
    """Raise TrainingError naming the first batch whose loss is not finite."""
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        raise TrainingError(
            f"the loss of {method} is not finite in epoch {schedule.epoch}, batch "
            f"{broken[0].item() + 1}: lower {what_to_lower(schedule)}; the last checkpoint before "
            "it is kept"
        )


def warn_of_traps(progress: Progress, method: str, schedule: Schedule) -> None:
    """Say, when it first shows, what is known to spoil training by this method."""
    shares = progress.notes.get(f"{method}_test_oscillating", [0])
    silent = progress.notes[f"{method}_test_silent"]
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


def epoch_line(row: dict[str, Any], epochs: int, unit: str) -> str:
    line = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['method']:<4}"
    for name in ("train_error", "train_error_full", "validation_error", "test_error"):
        if row.get(name) is not None:
            line += f"  {name.replace('_', ' ')} {number(row[name], unit)}"
    return f"{line}  loss {row['loss']:.4f}  {row['seconds']:.1f} s"


def sweeps_in_words(record: dict[str, torch.Tensor]) -> str:
    """Sweeps and residual of an epoch's relaxed phases, free + nudged: mean (worst)."""
    phases = [phase for phase in ("free", "nudged") if f"sweeps_{phase}" in record]
    if not phases:
        return ""
    sweeps = " + ".join(in_words(record, f"sweeps_{phase}", ".1f", ".0f") for phase in phases)
    residuals = " + ".join(in_words(record, f"residual_{phase}", ".0e", ".0e") for phase in phases)
    return f"  sweeps {sweeps}, residual {residuals}"


def in_words(record: dict[str, torch.Tensor], name: str, mean: str, worst: str) -> str:
    """A measure of an epoch, in the formats of its mean and of its worst value."""
    return f"{record[name].mean().item():{mean}} ({record[name + WORST].max().item():{worst}})"


def number(error: float, unit: str) -> str:
    """An error as people read it: a percentage, or the half squared error of a regression."""
    return f"{error:6.2f} %" if unit == "%" else f"{error:.5f}"
