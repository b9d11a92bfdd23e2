"""Convolutional networks in the prototypical setting of Ernoult et al. 2019.

net = convEP([10], [32, 16, 1], (28, 28), Fconv=3, padding=True, seed=0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from networks.layered import EPdisc
from networks.schedule import Tensors
from solvers import Relaxing, pulls

# How far apart a convolution puts values that are equal, at most, in units of rounding times the
# sum of a filter's absolute weights: with states and data of size 1, up to 0.6 was seen.
TIE = 4.0


class PooledState(list):
    """The layers, and per convolution the places of the maxima in the step that made them."""

    def __init__(self, layers, positions):
        super().__init__(layers)
        self.positions = positions


class ConvDrive(NamedTuple):
    """What a phase of a convolutional network leaves unchanged."""

    x: torch.Tensor  # (batch, C_x, height, width)
    top: torch.Tensor  # (batch, C, h, w), what the last layer receives from the data
    top_positions: torch.Tensor  # places of its pooled maxima
    inputs: Tensors  # per dense layer (n_i,): its bias, times the gain
    dense: Tensors  # weights (n_i, n_i+1)
    dense_back: Tensors  # those by which layer i + 1 receives from layer i, of the same shape
    kernels: Tensors  # (C_k, C_k+1, F, F), but for the one that sees the data
    kernels_back: Tensors  # those of the transposed convolutions
    kernel_biases: Tensors
    falls: Tensors  # per kernel (height, width), what lets the first of equal values win
    push: torch.Tensor | None = None  # (batch, C, h, w), of a read-out's nudge at a topmost map


class convEP(EPdisc):
    """Convolutional network in the prototypical setting.

    Dense layers as in `EPdisc` on top of convolutions with pooling. Forwards a layer receives
    pool(W * s + b); backwards the transpose of that: with max-pooling the transposed convolution of
    the layer above, each of whose values is put at the place where the maximum was found in the
    same step. Of equal values the first one wins, row by row. What of a map is left over at its
    end, where a stride or a window does not fit once more, is not read.

    Args:
        size_tab: units of the dense layers, from the output backwards.
        C_tab: channels of the convolutional layers, going on backwards; the last entry is the data.
        input_size: (height, width) of the data.
        Fconv, Fpool: side of the filters, side and stride of the pooling windows.
        padding: pad by (Fconv - 1) // 2, so that an odd filter keeps the size of a map.
        pads: rows and columns of zeros around what a convolution sees, instead of `padding`.
        pool: "max", "average" or "none". stride: of the filters.
            Of these three one for all convolutions, or one each from the classifier backwards.
    Raises:
        ValueError: a map has become smaller than the filter or the pooling window, or a list is
            neither of one nor of all convolutions.
    """

    fewest = 1  # a read-out may see the topmost map itself

    def __init__(
        self,
        size_tab: Sequence[int],
        C_tab: Sequence[int],
        input_size: tuple[int, int],
        activation: str = "hardsigm",
        dt: float = 1.0,
        Fconv: int = 5,
        Fpool: int = 2,
        padding: bool = False,
        seed: int = 0,
        loss: str = "squared",
        pool: Sequence[str] = ("max",),
        stride: Sequence[int] = (1,),
        pads: Sequence[int] = (),
    ) -> None:
        if len(C_tab) < 2 or min(C_tab) < 1:
            raise ValueError(f"C_tab {list(C_tab)} must list at least two positive channel counts")
        self.C_tab, self.Fconv, self.Fpool = list(C_tab), Fconv, Fpool
        self.n_conv = len(C_tab) - 1
        pads = pads or [(Fconv - 1) // 2 if padding else 0]
        self.pads = self.one_each("--pads", pads)
        self.pooling, self.strides = (
            self.one_each("--pool", pool),
            self.one_each("--stride", stride),
        )
        self.map_sizes, self.pooled_sizes = self.sizes_of_maps(input_size)
        height, width = self.pooled_sizes[0]
        sizes = [*size_tab, C_tab[0] * height * width]
        super().__init__(sizes, activation, dt, seed, loss)
        self.n_dense = self.n_layers
        generator = torch.Generator().manual_seed(seed + 1)
        for k in range(self.n_conv):
            self.add_synapses((C_tab[k], C_tab[k + 1], Fconv, Fconv), generator)
        self.synapse_names = ["Wout"] * self.n_read + [f"Wfc{i}" for i in range(self.n_dense)]
        self.synapse_names += [f"Wconv{k}" for k in range(self.n_conv)]
        self.layer_names = [f"s{i}" for i in range(self.n_dense + self.n_conv)]
        self.reach = list(range(len(self.layer_names)))

    def one_each(self, name: str, values: Sequence) -> list:
        """A value for each convolution, from the classifier backwards."""
        if len(values) not in (1, self.n_conv):
            raise ValueError(
                f"{name} has {len(values)} values, this network has {self.n_conv} convolutions: "
                f"give one for all, or {self.n_conv} from the classifier backwards"
            )
        return list(values) * (self.n_conv if len(values) == 1 else 1)

    def options(self) -> dict[str, Any]:
        found = super().options()
        own = {"C_tab": self.C_tab, "Fconv": self.Fconv, "Fpool": self.Fpool}
        own |= {"pool": self.pooling, "stride": self.strides, "pads": self.pads}
        return found | own | {"size_tab": found["size_tab"][:-1], "discrete": False}

    @property
    def multiplications(self) -> int:
        kernels = zip(self.joining[self.n_dense :], self.map_sizes, strict=True)
        more = sum(w.numel() * (math.prod(size) - 1) for (w, _), size in kernels)
        return super().multiplications + more

    def sizes_of_maps(self, input_size: tuple[int, int]) -> tuple[list, list]:
        """(height, width) of every map before and after pooling, from the output backwards."""
        maps, pooled, size = [], [], tuple(input_size)
        for k in reversed(range(self.n_conv)):
            side = tuple((n - self.Fconv + 2 * self.pads[k]) // self.strides[k] + 1 for n in size)
            window = 1 if self.pooling[k] == "none" else self.Fpool
            if min(side) < window:
                raise ValueError(
                    f"convolution {self.n_conv - k} of {self.n_conv} (counted from the data) gets "
                    f"{size[0]} x {size[1]} maps, too small for filters of side {self.Fconv} and "
                    f"pooling by {window}"
                )
            size = tuple(n // window for n in side)
            maps.insert(0, side)
            pooled.insert(0, size)
        return maps, pooled

    def constants(self, data: torch.Tensor) -> Tensors:
        x = data.contiguous(memory_format=torch.channels_last)
        weights, biases = (list(v) for v in zip(*self.joining, strict=True))
        dense, kernels = weights[: self.n_dense], weights[self.n_dense :]
        dense_biases, kernel_biases = biases[: self.n_dense], biases[self.n_dense :]
        kernels = [w.contiguous(memory_format=torch.channels_last) for w in kernels]
        falls = [
            self.fall(k, *pair) for k, pair in enumerate(zip(kernels, kernel_biases, strict=True))
        ]
        last = self.n_conv - 1
        top, top_positions = self.pool(last, x, kernels.pop(), kernel_biases.pop(), falls.pop())
        inputs = [self.rho.affine(b) for b in dense_biases]
        return [x, top, top_positions, *inputs, *dense, *kernels, *kernel_biases, *falls]

    def wire(self, constants: Tensors) -> ConvDrive:
        x, top, top_positions, *rest = constants
        n, c = self.n_dense, self.n_conv - 1
        return ConvDrive(
            x,
            top,
            top_positions,
            inputs=rest[:n],
            dense=rest[n : 2 * n],
            dense_back=rest[n : 2 * n],
            kernels=rest[2 * n : 2 * n + c],
            kernels_back=rest[2 * n : 2 * n + c],
            kernel_biases=rest[2 * n + c : 2 * n + 2 * c],
            falls=rest[2 * n + 2 * c :],
        )

    def initHidden(self, drive: ConvDrive) -> PooledState:
        batch = len(drive.x)
        dense = [drive.x.new_zeros(batch, n) for n in self.size_tab[:-1]]
        maps = [
            drive.x.new_zeros(batch, channels, *size).to(memory_format=torch.channels_last)
            for channels, size in zip(self.C_tab, self.pooled_sizes, strict=False)
        ]
        return PooledState(dense + maps, None)

    @torch.no_grad()
    def fall(self, k: int, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """How much each place of map k is lowered when maxima are looked for, (height, width).

        From zero states, and on even surfaces, the values of a pooling window are equal but for
        rounding in the convolution, which differs with the size of the batch, while the state in
        which the network comes to rest hangs on the winner. So each place of a window falls below
        the one before, row by row, by more than rounding makes up for and less than matters.
        """
        rows, columns = (
            torch.arange(n, device=bias.device) % self.Fpool for n in self.map_sizes[k]
        )
        size = (kernel.abs().sum((1, 2, 3)) + bias.abs()).max()
        step = TIE * torch.finfo(bias.dtype).eps * size
        return step * (rows[:, None] * self.Fpool + columns)

    def pool(self, k, s, kernel, bias, fall):
        """What convolution k makes of s, pooled, (batch, C, h, w), and the places of maxima.

        Without max-pooling there are no places, (batch, 0).
        """
        values = F.conv2d(s, kernel, bias, self.strides[k], self.pads[k])
        if self.pooling[k] != "max":
            none = torch.empty(len(s), 0, dtype=torch.int64, device=s.device)
            averaged = self.pooling[k] == "average"
            return F.avg_pool2d(values, self.Fpool) if averaged else values, none
        values, places = F.max_pool2d(values.sub_(fall), self.Fpool, return_indices=True)
        return values + fall.take(places), places

    def unpool(self, k, s, positions):
        """The transpose of pooling: each value at the place of its maximum, or spread evenly."""
        height, width = self.map_sizes[k]
        if self.pooling[k] == "max":
            size = (*s.shape[:2], height, width)
            return F.max_unpool2d(s, positions, self.Fpool, output_size=size)
        if self.pooling[k] == "none":
            return s
        n = self.Fpool
        spread = s.repeat_interleave(n, 2).repeat_interleave(n, 3) / n**2
        return F.pad(spread, (0, width - spread.shape[3], 0, height - spread.shape[2]))

    def unconvolve(self, k, spread, kernel):
        """The transpose of convolution k, (batch, C below, h, w), from what `unpool` returned."""
        stride, pad, below = self.strides[k], self.pads[k], self.pooled_sizes[k + 1]
        left = [
            n - ((m - 1) * stride + self.Fconv - 2 * pad)
            for n, m in zip(below, spread.shape[2:], strict=True)
        ]
        return F.conv_transpose2d(spread, kernel, None, stride, pad, left)

    def goals(self, drive, s):
        dense, maps = s[: self.n_dense], s[self.n_dense :]
        values = [*dense, maps[0].flatten(1)]
        pooled, positions = self.pool_all(drive, maps)
        goals = []
        for i, w in enumerate(drive.dense):
            total = torch.addmm(drive.inputs[i], values[i + 1], w.t(), alpha=self.rho.gain)
            if i > 0:
                back = drive.dense_back[i - 1]
                total = torch.addmm(total, values[i - 1], back, alpha=self.rho.gain)
            goals.append(self.rho.shape(total))
        for k, forwards in enumerate(pooled):
            if k:
                spread = self.unpool(k - 1, maps[k - 1], positions[k - 1])
                forwards = forwards + self.unconvolve(k - 1, spread, drive.kernels_back[k - 1])
            elif dense:
                forwards = forwards + (dense[-1] @ drive.dense_back[-1]).view(forwards.shape)
            elif drive.push is not None:
                forwards = forwards + drive.push
            goals.append(self.rho(forwards))
        return PooledState(goals, positions)

    def pushed(self, drive, s, target, beta):
        if self.n_dense or not (self.loss.reads_out and pulls(beta)):
            return super().pushed(drive, s, target, beta)
        push = beta * self.loss.pull(self, s, target)
        return drive._replace(push=push.view(s[0].shape))

    def move(self, s, goals, nudge):
        return PooledState(super().move(s, goals, nudge), goals.positions)

    def pool_all(self, drive: ConvDrive, maps: Tensors) -> tuple[list, list]:
        """What every convolutional layer receives forwards, and where the maxima were found."""
        pooled, positions = [], []
        per_kernel = (drive.kernels, drive.kernel_biases, drive.falls)
        for k, (below, *parts) in enumerate(zip(maps[1:], *per_kernel, strict=True)):
            values, places = self.pool(k, below, *parts)
            pooled.append(values)
            positions.append(places)
        return [*pooled, drive.top], [*positions, drive.top_positions]

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        phases = (self.phi_gradient(drive, s) for s in (s_nudged, s_free))
        pairs, scales = pairs[self.n_read :], scales[self.n_read :]
        for (w, b), scale, nudged, free in zip(pairs, scales, *phases, strict=True):
            w.add_(nudged[0] - free[0], alpha=scale)
            b.add_(nudged[1] - free[1], alpha=scale)

    def phi_gradient(self, drive, s):
        """dPhi/dtheta at the state s, (weight, bias) pairs, summed over the batch.

        Phi = sum_i s_i . (W_i s_i+1 + b_i) + sum_k unpool_k(s_k) . (W_k * s_k+1 + b_k), the places
        of the maxima being those of the last step; without a read-out's synapses.
        """
        dense, maps = s[: self.n_dense], [*s[self.n_dense :], drive.x]
        values = [*dense, maps[0].flatten(1)]
        pairs = [(v.t() @ below, v.sum(0)) for v, below in zip(values, values[1:], strict=False)]
        for k, (kernel, _) in enumerate(self.joining[self.n_dense :]):
            spread = self.unpool(k, maps[k], s.positions[k])
            gradient = nn.grad.conv2d_weight(
                maps[k + 1], kernel.shape, spread, self.strides[k], self.pads[k]
            )
            pairs.append((gradient, maps[k].sum((0, 2, 3))))
        return pairs

    @property
    def relaxing(self) -> Relaxing:
        """Where the place of a maximum goes to and fro a sample never rests: there is a limit.

        Over-relaxation by more than 1.2 makes more of them do so. What a sample has still to go is
        taken for an answer to a one-sided nudge: P-conv unlearnt everything with 18 sweeps. What a
        convolution takes is in proportion to the batch, unlike a product with a large matrix.
        """
        plan = super().relaxing
        most = 50 if "max" in self.pooling else 100
        return plan._replace(omega=min(plan.omega, 1.2), max_sweeps=most, shrink_from=8)

    def sample_shape(self, s):
        return s[0].shape[:1]

    def seen(self, drive, s, i):
        """Of a map that another convolution sees: its pooled maxima, and their places."""
        k = i - self.n_dense
        if k <= 0:
            return s[i].flatten(1)
        own = (drive.kernels[k - 1], drive.kernel_biases[k - 1], drive.falls[k - 1])
        return self.pool(k - 1, s[i], *own)

    def feedforward(self, drive):
        maps = [self.rho(drive.top)]
        for k in reversed(range(self.n_conv - 1)):
            own = (drive.kernels[k], drive.kernel_biases[k], drive.falls[k])
            maps.insert(0, self.rho(self.pool(k, maps[0], *own)[0]))
        s = [maps[0].flatten(1)]
        for weights, inputs in zip(drive.dense[::-1], drive.inputs[::-1], strict=True):
            received = torch.addmm(inputs, s[0], weights.t(), alpha=self.rho.gain)
            s.insert(0, self.rho.shape(received))
        return [*s[:-1], *maps]

    def settled_layer(self, drive, s, seen, i, target, beta):
        if i < self.n_dense:
            total = torch.addmm(
                drive.inputs[i], seen[i + 1], drive.dense[i].t(), alpha=self.rho.gain
            )
            if i > 0:
                total.addmm_(seen[i - 1], drive.dense_back[i - 1], alpha=self.rho.gain)
            return self.settled(total, s, i, target, beta)
        k = i - self.n_dense
        forwards = seen[i + 1][0] if k + 1 < self.n_conv else drive.top
        if i == 0:
            return self.settled(self.rho.affine(forwards), s, i, target, beta)
        if k == 0:
            backwards = (s[i - 1] @ drive.dense_back[-1]).view(forwards.shape)
        else:
            spread = self.unpool(k - 1, s[i - 1], seen[i][1])
            backwards = self.unconvolve(k - 1, spread, drive.kernels_back[k - 1])
        return self.rho(forwards + backwards)

    def finished(self, drive, s, seen):
        positions = [places for _, places in seen[self.n_dense + 1 :]]
        return PooledState(s, [*positions, drive.top_positions])

    def like(self, s, layers):
        return PooledState(layers, s.positions)

    def with_output(self, s, output):
        return PooledState(super().with_output(s, output), s.positions)

    def rows_of(self, s, rows):
        return PooledState(super().rows_of(s, rows), [places[rows] for places in s.positions])

    def cut(self, drive, rows):
        x, top, places = (v[rows] for v in (drive.x, drive.top, drive.top_positions))
        return drive._replace(x=x, top=top, top_positions=places)
