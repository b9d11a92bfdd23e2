"""EP's updates, step by step, beside the gradients of BPTT: the GDU property and its measures.

The free phase is run once. Then two processes advance side by side: the nudged phase forwards from
the steady state, and the gradients of BPTT backwards from the same state, one vector-Jacobian
product a step at the stored last states. Memory is O(parameters), time O(T + K).

Names and signs are those of Ernoult et al. 2019: nS, NT (and nT) are gradients of the loss, dS, DT
(and dT) are EP's updates with a minus sign; the theorem is that they are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from datasets import Split
from netClasses import EquilibriumNetwork
from networks.agreement import RESTS, Agreement, Settling
from networks.gradients import agreement, pull_back
from networks.schedule import Tensors
from solvers import SOLVERS, Search, largest_change, settle_rule

TIGHT = {torch.float32: 2e-6, torch.float64: 1e-12}  # of a relaxed free phase, near rounding
MOST_SWEEPS = 2000
STEPS = Search(0)  # steps without a tolerance
GROWS = 0.05  # relative change of the update in the last tenth of the nudged phase


def free_trajectory(
    net: EquilibriumNetwork,
    data: torch.Tensor,
    T: int | None,
    K: int,
    search: Search = STEPS,
    quiet: bool = True,
) -> list[Tensors]:
    """The last K + 1 states s(T-K) ... s(T) of a free phase of T steps; T >= K.

    Args:
        T: None: the phase is relaxed to rest, and K steps follow.
        search: with a tolerance the first T - K steps end earlier, as soon as no unit moves more
            in a step; of a relaxed phase as for `solvers.relax`, by default `tight_search`.
    """
    if T is None:
        return relaxed_trajectory(net, data, K, search)
    stop = settle_rule(search.tol or 0.0)
    trajectory = []
    with torch.no_grad(), tqdm(total=T, desc="free phase", disable=quiet, leave=False) as bar:

        def observe(t: int, before: Tensors, after: Tensors) -> bool:
            bar.update()
            return stop is not None and stop(t, before, after)

        drive = net.drive(data)
        watch = None if quiet and stop is None else observe
        s = net(drive, net.initHidden(drive), T - K, observe=watch)
        trajectory.append(s)
        net(drive, s, K, observe=lambda t, before, after: trajectory.append(after))
    return trajectory


@torch.no_grad()
def relaxed_trajectory(
    net: EquilibriumNetwork, data: torch.Tensor, K: int, search: Search
) -> list[Tensors]:
    """The state at which sweeps come to rest, and the K that steps lead to from there."""
    drive = net.drive(data)
    chosen = tight_search(drive.x.dtype) if search is STEPS else search
    trajectory = [SOLVERS["relax"](net, drive, net.initHidden(drive), chosen).state]
    net(drive, trajectory[0], K, observe=lambda t, before, after: trajectory.append(after))
    return trajectory


def tight_search(
    dtype: torch.dtype, tol: float = 0.0, omega: float = 0.0, max_sweeps: int = 0
) -> Search:
    """A search for a rest at which gradients can be compared, where nothing else is asked for."""
    return Search(max_sweeps or MOST_SWEEPS, tol or TIGHT[dtype], omega or None)


def backward_process(
    net: EquilibriumNetwork, data: torch.Tensor, trajectory: list[Tensors], target: torch.Tensor
) -> Iterator[tuple[Tensors, Callable[[], Tensors]]]:
    """BPTT: go back through the last steps of the free phase, one vector-Jacobian product a step.

    Args:
        data: (batch, ...), the input of the free phase.
        trajectory: the states s(T-K) ... s(T), K + 1 of them.
        target: (batch, n_out).
    Yields:
        For t = 0 ... K-1: dL/ds(T-t) per layer (batch, ...), and a function that returns dL/dW
        through the last t + 1 steps per weight. L is what the nudge descends, the network's `loss`
        (times `nudge_gain`), mean over the batch.
    """
    with torch.enable_grad():
        constants = net.constants(data)
        leaves = [c.detach().requires_grad_(c.requires_grad) for c in constants]
        drive = net.wire(leaves)
    roots = [c for c in constants if c.requires_grad]
    learnt = [leaf for leaf in leaves if leaf.requires_grad]
    totals = [torch.zeros_like(leaf) for leaf in learnt]

    def weight_gradients() -> Tensors:
        # a weight that is a constant itself gets the very tensor of its total, which grows on
        found = pull_back(roots, list(net.weights), totals, retain_graph=True)
        return [g - direct[i] if i < len(direct) else g.clone() for i, g in enumerate(found)]

    last = trajectory[-1]
    grad_s = [torch.zeros_like(v) for v in last]
    with torch.no_grad():
        pull = net.nudge_gain * net.loss.pull(net, last, target)
        grad_s[0] = (-pull / len(target)).view(last[0].shape)
        direct = [w for w, _ in net.loss.direct(net, last, target)]
    for state in reversed(trajectory[:-1]):
        s = [v.detach().requires_grad_() for v in state]
        with torch.enable_grad():
            after = net.stepper(drive, s)
        grads = pull_back(list(after), s + learnt, grad_s)
        for total, g in zip(totals, grads[len(s) :], strict=True):
            total.add_(g)
        yield grad_s, weight_gradients
        grad_s = list(grads[: len(s)])


def forward_process(
    net: EquilibriumNetwork,
    data: torch.Tensor,
    s_free: Tensors,
    target: torch.Tensor,
    K: int,
    beta: float,
) -> Iterator[tuple[Tensors, Callable[[], Tensors]]]:
    """EP: the nudged phase, step by step.

    Yields:
        For t = 0 ... K-1: minus the velocity of the states over beta, mean over the batch, per
        layer (n_i,), and a function that returns minus EP's update per weight after t + 1 steps.
    """
    with torch.no_grad():
        drive = net.drive(data)
        direct = net.loss.direct(net, s_free, target)
    s = s_free
    for t in range(K):
        with torch.no_grad():
            before, s = s, net.stepper(drive, s, target, beta)
            velocity = net.velocity(drive, before, s, target, beta)
            rates = [v.mean(0) / -beta for v in velocity]
        rates = [v * (t >= reach) for v, reach in zip(rates, net.reach, strict=True)]

        def updates(s=s) -> Tensors:
            with torch.no_grad():
                found = net.computeGradients(drive, s_free, s, beta, direct)
                return [-w for w, _ in found]

        yield rates, updates


class Moment(NamedTuple):
    """Both processes at one t. Per layer (n_i...,) and per weight (shape of W)."""

    nS: Tensors  # noqa: N815  (the paper's names)
    dS: Tensors  # noqa: N815
    NT: Tensors
    DT: Tensors


def side_by_side(
    net: EquilibriumNetwork,
    data: torch.Tensor,
    target: torch.Tensor,
    trajectory: list[Tensors],
    beta: float,
) -> Iterator[Moment]:
    """Both processes for t = 0 ... K-1, from the K + 1 last states of a free phase.

    nS is summed over the batch (the loss is a mean over it), dS is a mean over it.
    """
    K = len(trajectory) - 1
    back = backward_process(net, data, trajectory, target)
    forth = forward_process(net, data, trajectory[-1], target, K, beta)
    for (grad_s, gradients), (rates, updates) in zip(back, forth, strict=True):
        yield Moment([g.sum(0) for g in grad_s], rates, gradients(), updates())


def compute_nSdSDT(
    net: EquilibriumNetwork, data: torch.Tensor, target: torch.Tensor, T: int, K: int, beta: float
) -> tuple[Tensors, Tensors, Tensors]:
    """Gradients of BPTT and updates of EP for the neurons, and EP's updates of the synapses.

    Args:
        data: (batch, ...), in [0, 1]. target: (batch, n_out).
    Returns:
        nS, dS: per layer (K, n_i...). DT: per weight (K, shape of W), cumulated over the steps.
    Source: Ernoult et al. 2019, the GDU property (fig. 2).
    """
    moments = list(side_by_side(net, data, target, free_trajectory(net, data, T, K), beta))
    return tuple(stack(moments, name) for name in ("nS", "dS", "DT"))


def compute_NT(
    net: EquilibriumNetwork, data: torch.Tensor, target: torch.Tensor, T: int, K: int
) -> Tensors:
    """Gradients of BPTT for the synapses through the last 1 ... K steps: per weight (K, shape)."""
    sweep = backward_process(net, data, free_trajectory(net, data, T, K), target)
    return [torch.stack(steps) for steps in zip(*(g() for _, g in sweep), strict=True)]


def stack(moments: list[Moment], name: str) -> Tensors:
    return [torch.stack(v) for v in zip(*(getattr(m, name) for m in moments), strict=True)]


def compute_nTdT(cumulated: Tensors) -> Tensors:
    """Instantaneous process of a cumulated one (NT to nT, DT to dT): its steps, 0 at t = 0."""
    return [torch.cat([torch.zeros_like(v[:1]), v[1:] - v[:-1]]) for v in cumulated]


# Measures ---------------------------------------------------------------------------------------


class Mismatch:
    """Relative RMSE between two processes of one layer, accumulated step by step.

    Per unit or synapse sqrt(sum_t (a - c)^2 / max(sum_t a^2, sum_t c^2)), 0 where both vanish.
    The sums are float64: a curve may lie near 1e-22, whose square is 0 in float32.
    """

    def __init__(self) -> None:
        self.sums: Tensors | None = None

    def add(self, a: torch.Tensor, c: torch.Tensor) -> None:
        a, c = a.double(), c.double()
        if self.sums is None:
            self.sums = [torch.zeros_like(a) for _ in range(3)]
        for total, value in zip(self.sums, (a - c, a, c), strict=True):
            total.addcmul_(value, value)

    def values(self) -> torch.Tensor:
        error, *squares = self.sums
        scale = torch.maximum(*squares)
        return torch.where(scale > 0, error / scale, 0.0).sqrt()

    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation (denominator N - 1) over the layer."""
        values = self.values()
        std = values.std().item() if values.numel() > 1 else math.nan  # of one unit there is none
        return values.mean().item(), std


def settling(net: EquilibriumNetwork, trajectory: list[Tensors], beta: float) -> Settling:
    """Measure, over the first steps of a trajectory, whether it starts at rest."""
    moved = largest_change(trajectory[0], trajectory[1])
    back = largest_change(trajectory[0], trajectory[min(2, len(trajectory) - 1)])
    drift = moved / (net.dt * abs(beta))
    oscillating = (drift > RESTS) & (back < moved / 4)
    share = 100 * oscillating.double().mean().item()
    return Settling(moved.max().item() / net.dt, drift.max().item(), share)


# The two actions ---------------------------------------------------------------------------------


class Curves:
    """The processes of a seeded sample of one layer's units or synapses, or of all of them."""

    def __init__(self, like: torch.Tensor, n: int | None, generator: np.random.Generator) -> None:
        size = like.numel()
        every = n is None or n >= size
        index = np.arange(size) if every else np.sort(generator.choice(size, n, replace=False))
        self.index = torch.from_numpy(index).to(like.device)
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, a: torch.Tensor, c: torch.Tensor) -> None:
        self.steps.append((a.flatten()[self.index], c.flatten()[self.index]))

    def arrays(self, gradient: str, update: str, place: str) -> dict[str, np.ndarray]:
        """The two curves (K, n) and the places (n,) in the flattened layer, by these names."""
        both = (torch.stack(steps).cpu().numpy() for steps in zip(*self.steps, strict=True))
        return dict(zip((gradient, update), both, strict=True)) | {place: self.index.cpu().numpy()}


def compare_processes(
    net: EquilibriumNetwork,
    data: torch.Tensor,
    target: torch.Tensor,
    trajectory: list[Tensors],
    beta: float,
    n_curves: int | None = 10,
    seed: int = 0,
    quiet: bool = True,
) -> dict[str, np.ndarray]:
    """Run both processes; keep the curves of a sample and the measures of everything.

    Args:
        trajectory: the K + 1 last states of a free phase.
        n_curves: units and synapses per layer whose curves are kept; None: all.
        seed: of the sample.
    Returns:
        Arrays by name. layers, synapses: names. Per layer L: nS_L, dS_L (K, n) and units_L (n,),
        the places in the flattened layer; per weight W: NT_W, DT_W (K, n) and places_W (n,).
        rmse_S, rmse_T: (layers, 2), mean and standard deviation of the relative RMSE.
        same_sign, both_zero (in %), cosine: (weights,), of the final updates.
    """
    generator = np.random.default_rng(seed)
    subjects = [*(v[0] for v in trajectory[-1]), *net.weights]  # every layer, then every weight
    curves = [Curves(subject, n_curves, generator) for subject in subjects]
    mismatches = [Mismatch() for _ in subjects]
    steps = tqdm(
        side_by_side(net, data, target, trajectory, beta),
        total=len(trajectory) - 1,
        desc="both processes",
        unit="step",
        disable=quiet,
        leave=False,
    )
    for moment in steps:
        both = zip([*moment.nS, *moment.NT], [*moment.dS, *moment.DT], strict=True)
        for (a, c), curve, mismatch in zip(both, curves, mismatches, strict=True):
            curve.add(a, c)
            mismatch.add(a, c)
    n_layers = len(net.layer_names)
    arrays = {"layers": np.array(net.layer_names), "synapses": np.array(net.synapse_names)}
    for name, curve in zip(net.layer_names, curves[:n_layers], strict=True):
        arrays |= curve.arrays(f"nS_{name}", f"dS_{name}", f"units_{name}")
    for name, curve in zip(net.synapse_names, curves[n_layers:], strict=True):
        arrays |= curve.arrays(f"NT_{name}", f"DT_{name}", f"places_{name}")
    statistics = np.array([m.statistics() for m in mismatches])
    arrays |= {"rmse_S": statistics[:n_layers], "rmse_T": statistics[n_layers:]}
    final = [agreement(D, N) for D, N in zip(moment.DT, moment.NT, strict=True)]
    for name in Agreement._fields:
        arrays[name] = np.array([getattr(one, name) for one in final])
    return arrays


def table_of(arrays: dict[str, np.ndarray]) -> str:
    """What `compare_processes` measured, as a table for people."""
    lines = ["layer     relative RMSE (mean ± std)"]
    for name, (mean, std) in zip(arrays["layers"], arrays["rmse_S"], strict=True):
        lines.append(f"{name:<8}  {mean:.4f} ± {std:.4f}")
    lines.append("weight    relative RMSE (mean ± std)  same sign  both zero  cosine")
    rows = zip(*(arrays[key] for key in ("synapses", "rmse_T", *Agreement._fields)), strict=True)
    for name, (mean, std), same, zero, cosine in rows:
        rmse = f"{mean:.4f} ± {std:.4f}"
        lines.append(f"{name:<8}  {rmse:<26}  {same:6.2f} %   {zero:6.2f} %   {cosine:6.4f}")
    return "\n".join(lines)


def means_of(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """What either action measured, by name: means over layers or weights, and mini-batches.

    The relative RMSE of neurons and synapses is of `compare_processes` only.
    """
    kinds = {"rmse_neurons": "rmse_S", "rmse_synapses": "rmse_T"}
    found = {name: arrays[key][:, 0] for name, key in kinds.items() if key in arrays}
    found |= {name: arrays[name] for name in Agreement._fields}
    return {name: float(values.mean()) for name, values in found.items()}


class Recipe(NamedTuple):
    """What `receipe` measures. Arrays are (mini-batches, weights)."""

    names: list[str]
    same_sign: np.ndarray  # % of synapses whose update and gradient have the same sign, not 0
    both_zero: np.ndarray  # % of synapses where both are 0
    cosine: np.ndarray
    growth: float  # relative change of the update in the last tenth of the phase; nan: it is 0
    settling: Settling  # the worst over the mini-batches

    def table(self) -> str:
        """Mean and standard deviation (denominator N) over the mini-batches, per weight."""
        lines = ["weight    same sign        both zero        together         cosine"]
        total = self.same_sign + self.both_zero
        for i, name in enumerate(self.names):
            cells = [
                f"{v[:, i].mean():6.2f} ± {v[:, i].std():5.2f} %"
                for v in (self.same_sign, self.both_zero, total)
            ]
            lines.append(f"{name:<8}  {'  '.join(cells)}  {self.cosine[:, i].mean():6.3f}")
        return "\n".join(lines)

    def arrays(self) -> dict[str, np.ndarray]:
        """For results.npz."""
        measured = {name: getattr(self, name) for name in Agreement._fields}
        both = {"synapses": self.names, "growth": self.growth} | measured
        return {name: np.array(value) for name, value in both.items()} | self.settling.arrays()

    def advice(self, T: int | None, K: int) -> str:
        """What to change, from what was measured; T is None if the free phase was relaxed."""
        steps = [self.settling.sentence(T) + "."]
        worst = self.names[int(np.argmin((self.same_sign + self.both_zero).mean(0)))]
        share = (self.same_sign + self.both_zero).mean(0).min()
        if self.settling.oscillating and K % 2:
            steps.append("Use an even --Kmax, or a smaller --dt, because of the oscillation.")
        elif not self.settling.settled:
            longer = f"Raise --T above {T}" if T else "Raise --max-sweeps"
            steps.append(f"{longer} until it settles, or lower --dt if it never does.")
        if math.isnan(self.growth):
            steps.append(
                "EP's update is exactly 0: every output is its target already, or rests at a bound "
                "off which the nudge does not move it."
            )
        if self.growth > GROWS:
            steps.append(
                f"The update still changes by {100 * self.growth:.0f} % in the last tenth of the "
                f"nudged phase: raise --Kmax above {K}."
            )
        if len(steps) == 1 and share < 80:
            steps.append(
                f"Only {share:.0f} % of {worst} have the right sign although both phases settle: "
                "lower --beta."
            )
        if len(steps) == 1:
            enough = f"T {T} and Kmax {K} are" if T else f"Kmax {K} is"
            steps.append(f"Both phases settle: {enough} long enough.")
        return " ".join(steps)


def receipe(
    net: EquilibriumNetwork,
    split: Split,
    T: int | None,
    K: int,
    beta: float,
    batch_size: int = 20,
    batches: int = 20,
    dtype: torch.dtype = torch.float32,
    order: torch.Tensor | None = None,
    gradient_steps: int | None = None,
    quiet: bool = True,
    search: Search = STEPS,
) -> Recipe:
    """Share of synapses whose EP update has the sign of BPTT's gradient, over some mini-batches.

    Args:
        order: of the samples, as for `Split.batches`.
        gradient_steps: steps that BPTT goes back, K unless given.
        T, search: as for `free_trajectory`.
    Source: Ernoult et al. 2019, the check used to tune T, K and beta. The network is not changed.
    """
    gradient_steps = gradient_steps or K
    rows, growths, settlings = [], [], []
    chosen = zip(range(batches), split.batches(batch_size, dtype, order), strict=False)
    for _, (data, target) in tqdm(
        chosen, total=batches, desc="receipe", unit="batch", disable=quiet, leave=False
    ):
        trajectory = free_trajectory(net, data, T, gradient_steps, search)
        *_, (_, gradients) = backward_process(net, data, trajectory, target)
        late = []  # the update a tenth before the end of the nudged phase, and at its end
        for t, (_, updates) in enumerate(
            forward_process(net, data, trajectory[-1], target, K, beta)
        ):
            if t in (K - 1 - max(1, K // 10), K - 1):
                late.append(updates())
        rows.append([agreement(D, N) for D, N in zip(late[-1], gradients(), strict=True)])
        change = relative_change(late[0], late[-1])
        growths += [] if math.isnan(change) else [change]
        settlings.append(settling(net, trajectory, beta))
    table = np.array(rows)  # (mini-batches, weights, fields of Agreement)
    return Recipe(
        net.synapse_names,
        *(table[:, :, k] for k in range(3)),
        growth=float(np.mean(growths)) if growths else math.nan,
        settling=max(settlings),
    )


def relative_change(before: Tensors, after: Tensors) -> float:
    """Largest over the weights of |after - before| / |after|, Euclidean norms; nan if all are 0."""
    pairs = [(b.double(), a.double()) for b, a in zip(before, after, strict=True)]
    norms = [(a.norm(), (a - b).norm()) for b, a in pairs]
    return max(((change / norm).item() for norm, change in norms if norm > 0), default=math.nan)
