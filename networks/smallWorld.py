"""EP networks with layer-skipping connections: layered links, some of them randomly rewired.

Neurons are ordered output first, as everywhere here; a link is counted once, from the neuron
nearer to the output. Names as in Gammell et al. 2021: epsilon is `dt`, p is `bypass_p`.

    net = SmallWorldEP(wire_up([10, 100, 100, 100, 784], bypass_p=0.1))
    same = SmallWorldEP(Topology.from_state(net.size_tab, net.state_dict()))
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from errors import UserError
from networks.equilibrium import EquilibriumNetwork
from networks.schedule import Pairs, Tensors
from networks.topology import Topology, glorot_bound, mean_glorot_bound
from solvers import Beta, Relaxing, nudged_output, pulls

Groups = list[tuple[slice, Sequence[slice]]]

# Neurons of a state below which one product for all of it is the fastest step, and from which on
# layer by layer is, where links skip an odd number of layers.
SMALL, LARGE = 256, 800


class JoinedState:
    """A state as one matrix (batch, H), read as a sequence of layers, output first."""

    def __init__(self, matrix: torch.Tensor, columns: Sequence[slice]):
        self.matrix = matrix
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.matrix[:, self.columns[i]]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self.matrix[:, columns] for columns in self.columns)


class JoinedDrive(NamedTuple):
    """What a phase leaves unchanged, the step dt folded in."""

    x: torch.Tensor  # (batch, n_x)
    push: torch.Tensor  # (batch, H), dt (x W + b)
    inner: torch.Tensor  # (H, H), dt W


class Way:
    """How a step computes s W for the links inside the state: by dense blocks.

    Args:
        order: (H,), the neurons in the order in which this way keeps them.
        groups: columns in that order that are moved together, each with the columns it reads.
    """

    def __init__(self, order: torch.Tensor, groups: Groups):
        self.order = None if torch.equal(order, torch.arange(len(order))) else order
        self.back = torch.argsort(order)
        self.groups = groups

    def arranged(self, matrix: torch.Tensor) -> torch.Tensor:
        """Columns in the order of this way; always a copy."""
        return matrix.clone() if self.order is None else matrix[:, self.order]

    def restored(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix if self.order is None else matrix[:, self.back]

    def steps(self, drive: JoinedDrive, matrix: torch.Tensor, dt: float) -> Iterator[torch.Tensor]:
        """Euler steps for ever from `matrix` (batch, H), arranged: yield s + dt ds/dt, unclipped.

        What is yielded is clipped by the caller, in place, and is where the next step starts from.
        Two buffers take turns; what a step would slice anew is sliced once.
        """
        push = self.arranged(drive.push)
        inner = drive.inner if self.order is None else drive.inner[self.order][:, self.order]
        folded = len(self.groups) == 1  # one block of everything takes the leak, too
        if folded:
            inner = inner.clone()
            inner.diagonal().add_(1 - dt)
        blocks = [
            (own, read, inner[read, own].contiguous())
            for own, reads in self.groups
            for read in reads
        ]
        buffers = (matrix, torch.empty_like(matrix))
        turns = []
        for now, after in (buffers, buffers[::-1]):
            calls, begun = [], set()  # first columns of the groups under way
            for own, read, weights in blocks:
                out = after[:, own]
                calls.append(
                    (out if own.start in begun else push[:, own], now[:, read], weights, out)
                )
                begun.add(own.start)
            turns.append((now, after, calls))
        for now, after, calls in itertools.cycle(turns):
            for total, part, weights, out in calls:
                torch.addmm(total, part, weights, out=out)
            if not folded:
                after.add_(now, alpha=1 - dt)
            yield after


class SmallWorldEP(EquilibriumNetwork):
    """Symmetric weights on a graph: layered links, layer-skipping ones, or links inside layers.

    ds/dt = W s + b - s with s clipped to [0, 1] after each Euler step; in the nudged phase the
    output then moves on by 2 dt beta (y - s_0). Inside the bounds this is the gradient flow of
    |s|^2 / 2 - s W s / 2 - b s, and the nudge is that of the whole, not of half the squared error.
    The states may oscillate: most samples of an MNIST batch come to rest within 200 to 1000 steps,
    some never do, so a phase cannot count on stopping early.

    weights[i] holds the links of layer i to all that lies behind it as far as there are any
    (n_i, width); with `intra` the links inside the layer come first, above the diagonal.

    Args:
        topology: the layers and their links, from `wire_up`.
        bypass_mag: all but layered links start uniform in +-this; None is the mean Glorot bound
            over adjacent layers, which is what the published values are.
        dt: Euler step [epsilon].
    Source: Gammell et al. 2021.
    """

    nudge_gain = 2.0
    relaxing = Relaxing(max_sweeps=12, nudged="short", test_sweeps=50)
    bounded = True

    def __init__(
        self,
        topology: Topology,
        bypass_mag: float | None = None,
        dt: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.topology, self.size_tab, self.dt = topology, topology.size_tab, dt
        self.n_layers = len(self.size_tab) - 1
        self.bypass_mag = mean_glorot_bound(self.size_tab) if bypass_mag is None else bypass_mag
        self.layer_names = [f"s{i}" for i in range(self.n_layers)]
        self.synapse_names = [
            f"W{i}{'x' if i == self.n_layers - 1 else i + 1}" for i in range(self.n_layers)
        ]
        self.near = self.linked_layers()
        self.joined_inside = self.near.diagonal().tolist()
        self.reach = self.distances_from_output()
        self.add_links(torch.Generator().manual_seed(seed + 1))
        ends = np.cumsum(self.size_tab[:-1]).tolist()
        self.n_state = ends[-1]
        self.columns = [slice(e - n, e) for e, n in zip(ends, self.size_tab, strict=False)]
        self.way = self.way_of_steps()
        self.reads = [self.span_read_by(i) for i in range(self.n_layers)]

    @property
    def multiplications(self) -> int:
        """Of the links that there are; a step also multiplies zeros in the blocks they lie in."""
        return int(self.topology.links.sum())

    def options(self) -> dict[str, Any]:
        kind = "SW_intra" if any(self.joined_inside) else "SW_no_intra"
        own = {"network_type": kind, "bypass_mag": self.bypass_mag}
        if self.topology.n_rewired:
            own["bypass_p"] = self.topology.actual_p
        elif kind == "SW_no_intra":
            own = {"network_type": "MLFF"}
        return own | {"size_tab": self.size_tab, "dt": self.dt}

    # Where things are -----------------------------------------------------------------------

    def add_links(self, generator: torch.Generator) -> None:
        """Draw the weights of each layer's links to what lies behind it, and keep their mask."""
        links, layer = self.topology.links, self.topology.layer_of
        starts = np.cumsum([0, *self.size_tab]).tolist()
        self.spans: list[tuple[int, int]] = []  # first and last layer that weights[i] reaches
        for i in range(self.n_layers):
            rows = slice(starts[i], starts[i + 1])
            reached = [i + 1, *layer[links[rows].any(0)].tolist()]
            first, last = min(reached), max(reached)
            self.spans.append((first, last))
            columns = slice(starts[first], starts[last + 1])
            mask = links[rows, columns].clone()  # (n_i, width)
            bound = torch.where(
                layer[columns] == i + 1,
                glorot_bound(self.size_tab[i], self.size_tab[i + 1]),
                self.bypass_mag,
            )
            values = torch.rand(mask.shape, generator=generator).mul_(2).sub_(1)
            self.weights.append(torch.nn.Parameter(values * bound * mask))
            self.biases.append(torch.nn.Parameter(torch.zeros(self.size_tab[i])))
            self.register_buffer(f"mask{i}", mask)
            self.register_buffer(f"moved{i}", torch.zeros(mask.shape), persistent=True)
        self.register_buffer("n_moved", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mask_spans", torch.tensor(self.spans))
        self.register_buffer("n_rewired", torch.tensor(self.topology.n_rewired))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As of any module, from a state of the same links; an older one may lack two counts.

        Raises:
            UserError: the links are others.
        """
        for i, mask in enumerate(self.masks):
            other = state_dict.get(f"mask{i}", mask)
            if not torch.equal(other.to(mask.device), mask):
                raise UserError(
                    f"these weights are of a network whose links (of layer {i}) are others than "
                    "this one's: a layer-skipping network is built from what was stored with them"
                )
        added = {"mask_spans": self.mask_spans, "n_rewired": self.n_rewired}
        return super().load_state_dict({**added, **state_dict}, *args, **kwargs)

    @property
    def n_parameters(self) -> int:
        """Its links and its biases."""
        return sum(
            int(mask.sum()) + len(b) for mask, b in zip(self.masks, self.biases, strict=True)
        )

    @property
    def masks(self) -> Tensors:
        """Per layer, where weights[i] has a link (n_i, width), bool."""
        return [getattr(self, f"mask{i}") for i in range(self.n_layers)]

    def way_of_steps(self) -> Way:
        """What a step is made of: one product; half layers at a time; layer by layer.

        Without links that skip an odd number of layers even layers see only odd ones: two products
        of half the arithmetic. Layer by layer leaves out the blocks on the diagonal.
        """
        natural = torch.arange(self.n_state)
        whole = slice(0, self.n_state)
        layer = self.topology.layer_of[: self.n_state]
        i, j = self.near.nonzero().T
        if self.n_state >= SMALL and not ((i - j) % 2 == 0).any():
            parity = layer % 2
            half = int((parity == 0).sum())
            even, odd = slice(0, half), slice(half, self.n_state)
            order = torch.cat([natural[parity == 0], natural[parity == 1]])
            return Way(order, [(even, [odd]), (odd, [even])])
        if self.n_state >= LARGE and not any(self.joined_inside):
            others = [(slice(0, c.start), slice(c.stop, self.n_state)) for c in self.columns]
            reads = [[read for read in both if read.stop > read.start] for both in others]
            return Way(natural, list(zip(self.columns, reads, strict=True)))
        return Way(natural, [(whole, [whole])])

    def linked_layers(self) -> torch.Tensor:
        """(layers, layers) bool: which layers of the state have links with each other, or inside.

        The data pass nothing on, and are left out.
        """
        layer = self.topology.layer_of
        near = torch.zeros(len(self.size_tab), len(self.size_tab), dtype=torch.bool)
        i, j = self.topology.links.nonzero().T
        near[layer[i], layer[j]] = near[layer[j], layer[i]] = True
        return near[:-1, :-1]

    def span_read_by(self, i: int) -> slice:
        """The columns of the state from the first layer that layer i is linked with to the last."""
        linked = self.near[i].nonzero().flatten().tolist() or [i]
        return slice(self.columns[linked[0]].start, self.columns[linked[-1]].stop)

    def distances_from_output(self) -> list[int]:
        """Per layer, steps before a nudge of the output can show in it."""
        steps, known = [self.n_layers] * self.n_layers, torch.zeros(self.n_layers).bool()
        known[0] = True
        for step in range(self.n_layers):
            for k in range(self.n_layers):
                if known[k] and steps[k] == self.n_layers:
                    steps[k] = step
            known = known | self.near[known].any(0)
        return steps

    def adjacency(self) -> torch.Tensor:
        """(N, N) bool, symmetric: which neurons are linked, output first, the data last."""
        return self.topology.links | self.topology.links.T

    def matrix(self, rows: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """The symmetric weight matrix (N, N), output first; or any tensors shaped as `weights`."""
        starts = np.cumsum([0, *self.size_tab]).tolist()
        rows = list(self.weights) if rows is None else rows
        total = rows[0].new_zeros(starts[-1], starts[-1])
        for i, ((first, last), values) in enumerate(zip(self.spans, rows, strict=True)):
            total[starts[i] : starts[i + 1], starts[first] : starts[last + 1]] = values.detach()
        return total + total.T

    # Dynamics -------------------------------------------------------------------------------

    def constants(self, data: torch.Tensor) -> Tensors:
        """The data, what they and the biases push (batch, H), and the weights inside (H, H).

        The latter two times dt.
        """
        x = data.flatten(1)
        push = []
        upper = x.new_zeros(self.n_state, self.n_state)
        parts = zip(self.spans, self.synapses, self.masks, self.columns, strict=True)
        for (first, last), (w, b), mask, own in parts:
            if torch.is_grad_enabled():  # no gradient for links that are not there
                w = w * mask
            inner = w.shape[1] - (self.size_tab[-1] if last == self.n_layers else 0)
            push.append(torch.addmm(b, x, w[:, inner:].t()) if inner < w.shape[1] else b)
            start = self.columns[first].start if first < self.n_layers else 0
            upper[own, start : start + inner] = w[:, :inner]
        push = torch.cat([v.expand(len(x), -1) for v in push], 1)
        return [x, push * self.dt, (upper + upper.t()).mul_(self.dt)]

    def wire(self, constants: Tensors) -> JoinedDrive:
        return JoinedDrive(*constants)

    def initHidden(self, drive: JoinedDrive) -> JoinedState:
        return JoinedState(torch.zeros_like(drive.push), self.columns)

    def joined(self, s: JoinedState | Sequence[torch.Tensor]) -> torch.Tensor:
        """The state as one matrix (batch, H)."""
        return s.matrix if isinstance(s, JoinedState) else torch.cat(list(s), 1)

    def forward(self, drive, s, steps, target=None, beta=0.0, observe=None):
        """As in the base class; a phase that nobody watches goes its own way."""
        watched = observe is not None or self.block is not None or torch.is_grad_enabled()
        watched |= self.noise.shakes
        if watched or drive.x.device.type != "cpu" or not steps:
            return super().forward(drive, s, steps, target, beta, observe)
        way = self.way
        matrix = way.arranged(self.joined(s))
        output = self.columns[0]  # the first neurons in every order
        for _, moved in zip(range(steps), way.steps(drive, matrix, self.dt), strict=False):
            if pulls(beta):
                moved[:, output].lerp_(target, self.nudge_gain * self.dt * beta)
            moved.clamp_(0.0, 1.0)
        return JoinedState(way.restored(moved), self.columns)

    def euler(self, drive: JoinedDrive, matrix: torch.Tensor) -> torch.Tensor:
        """s + dt ds/dt without the nudge, not yet clipped, (batch, H)."""
        moved = torch.addmm(drive.push, matrix, drive.inner)
        return torch.add(moved, matrix, alpha=1 - self.dt)

    def nudged(self, moved: torch.Tensor, target: torch.Tensor | None, beta: Beta) -> torch.Tensor:
        """Draw the output, already moved, on towards the target."""
        if not pulls(beta):
            return moved
        output = self.columns[0]
        rest = torch.lerp(moved[:, output], target, self.nudge_gain * self.dt * beta)
        return torch.cat([moved[:, : output.start], rest, moved[:, output.stop :]], 1)

    def stepper(self, drive, s, target=None, beta=0.0):
        moved = self.nudged(self.euler(drive, self.joined(s)), target, beta)
        if torch.is_grad_enabled():
            return JoinedState(moved.clamp(0.0, 1.0), self.columns)
        return JoinedState(moved.clamp_(0.0, 1.0), self.columns)

    def velocity(self, drive, before, after, target=None, beta=0.0):
        """ds/dt with the nudge; 0 for a unit that the bounds hold at 0 or 1."""
        matrix = self.joined(before)
        rates = (self.nudged(self.euler(drive, matrix), target, beta) - matrix) / self.dt
        end = self.joined(after)
        return list(JoinedState(rates * ((end > 0) & (end < 1)), self.columns))

    # What `relax` asks for --------------------------------------------------------------------

    @functools.cached_property
    def blocks(self) -> list[list[int]]:
        """As of any layers if only neighbours are linked, else one by one, output first."""
        skips = torch.triu(self.near, 2).any()
        return [[i] for i in range(self.n_layers)] if skips else super().blocks

    def movable(self, s):
        return JoinedState(torch.cat(list(s), 1), self.columns)

    def settled_layer(self, drive, s, seen, i, target, beta):
        """As in the base class; with links inside the layer, the published step towards it."""
        own, reads = self.columns[i], self.reads[i]
        goal = torch.addmm(
            drive.push[:, own],
            s.matrix[:, reads],
            drive.inner[reads, own],
            beta=1 / self.dt,
            alpha=1 / self.dt,
        )
        goal = nudged_output(goal, target, self.nudge_gain * beta if i == 0 else 0.0, True)
        return torch.lerp(s[i], goal, self.dt) if self.joined_inside[i] else goal

    def cut(self, drive, rows):
        return drive._replace(x=drive.x[rows], push=drive.push[rows])

    def like(self, s, layers):
        return JoinedState(torch.cat(layers, 1), self.columns)

    def with_output(self, s, output):
        return JoinedState(torch.cat([output, *list(s)[1:]], 1), self.columns)

    def rows_of(self, s, rows):
        return JoinedState(self.joined(s)[rows], self.columns)

    # Learning -------------------------------------------------------------------------------

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        free, change = self.joined(s_free), self.joined(s_nudged) - self.joined(s_free)
        behind = torch.cat([self.joined(s_nudged), drive.x], 1)  # (batch, N)
        for i, ((w, b), scale) in enumerate(zip(pairs, scales, strict=True)):
            first, last = self.spans[i]
            start = self.columns[first].start if first < self.n_layers else self.n_state
            own = change[:, self.columns[i]]  # (batch, n_i)
            # n_i n_j - f_i f_j as (n_i - f_i) n_j + f_i (n_j - f_j); the data do not change
            dW = own.t() @ behind[:, start : start + w.shape[1]]
            inner = w.shape[1] - (self.size_tab[-1] if last == self.n_layers else 0)
            if inner:
                dW[:, :inner].addmm_(free[:, self.columns[i]].t(), change[:, start : start + inner])
            w.add_(dW.mul_(self.masks[i]), alpha=scale)
            b.add_(own.sum(0), alpha=scale)

    @torch.no_grad()
    def learn(self, drive, s_free, s_nudged, beta, lr_tab, direct=()):
        """Teach, and measure what the update is like.

        Returns:
            correction: (layer pairs,), root mean square of dW between adjacent layers, without the
                rate. saturated: (2,), how many units of the free state are at 0 and at 1.
        """
        gradients = self.computeGradients(drive, s_free, s_nudged, beta, direct)
        return self.learn_from(gradients, s_free, lr_tab)

    def measures_of(self, gradients, s_free):
        for i, (dW, _) in enumerate(gradients):
            getattr(self, f"moved{i}").add_(dW.abs())
        self.n_moved += 1
        free = self.joined(s_free)
        saturated = self.team.total(torch.stack([(free == 0).sum(), (free == 1).sum()]))
        return {"correction": self.corrections(gradients), "saturated": saturated}

    def corrections(self, gradients: Pairs) -> torch.Tensor:
        """Root mean square of dW over the links of each pair of adjacent layers, (pairs,)."""
        found = []
        for i, (dW, _) in enumerate(gradients):
            skipped = self.size_tab[i] if self.spans[i][0] == i else 0
            pair = slice(skipped, skipped + self.size_tab[i + 1])
            n_links = self.masks[i][:, pair].sum().clamp(min=1)
            found.append(dW[:, pair].square().sum().div(n_links).sqrt())
        return torch.stack(found)

    def initial_records(self):
        """The untaught weights and the mask, (N, N), and the share of links that were rewired."""
        share = torch.tensor(self.topology.actual_p, dtype=torch.float64)
        return {"initial_W": self.matrix(), "mask": self.adjacency(), "actual_p": share}

    def records(self, history):
        """mean_dW (N, N): |dW|, mean over all batches so far, without the rate; `log_spread`."""
        rows = [getattr(self, f"moved{i}") for i in range(self.n_layers)]
        found = {"mean_dW": self.matrix([row / self.n_moved.clamp(min=1) for row in rows])}
        if "correction" in history:
            found["log_spread"] = log_spread(history["correction"])
        return found


def log_spread(corrections: torch.Tensor) -> torch.Tensor:
    """Standard deviation over the layer pairs of log10 of the mean correction, (epochs,).

    Args:
        corrections: (epochs, batches, pairs).
    """
    return corrections.mean(1).log10().std(1, correction=0)
