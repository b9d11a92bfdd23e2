"""Which neurons a network with layer-skipping links has linked, and how its links are rewired.

A link is counted once, from the neuron nearer to the output. p of Gammell et al. 2021 is
`bypass_p`.

    topology = wire_up([10, 100, 100, 100, 784], bypass_p=0.1)
    topology.actual_p                                           # share of links that were rewired
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch


class Topology(NamedTuple):
    """Which neurons are linked. The data are the last layer."""

    size_tab: list[int]
    links: torch.Tensor  # (N, N) bool, above the diagonal only
    n_candidates: int  # links there were before rewiring
    n_rewired: int

    @property
    def layer_of(self) -> torch.Tensor:
        """Layer of each neuron, (N,)."""
        return torch.repeat_interleave(
            torch.arange(len(self.size_tab)), torch.tensor(self.size_tab)
        )

    @property
    def actual_p(self) -> float:
        """Share of the links that were rewired."""
        return self.n_rewired / self.n_candidates

    @classmethod
    def from_state(cls, size_tab: Sequence[int], state: Mapping[str, torch.Tensor]) -> Topology:
        """That of a network, from its `state_dict()`.

        An older state has no `mask_spans` and no `n_rewired`. Its masks tell by width and first
        block which layers they reach, and of its links those that skip a layer count as rewired;
        a few more were, into places that other links had left.

        Raises:
            ValueError: the state is of other layers, or of another kind of network.
        """
        starts = np.cumsum([0, *size_tab]).tolist()
        links = torch.zeros(starts[-1], starts[-1], dtype=torch.bool)
        n_layers, sizes = len(size_tab) - 1, " ".join(map(str, size_tab))
        for name, shape in (("mask_spans", (n_layers, 2)), ("n_rewired", ())):
            if name in state and state[name].shape != shape:
                raise ValueError(f"the stored {name} do not fit a network of {sizes}")
        stored = dict(enumerate(state["mask_spans"].tolist())) if "mask_spans" in state else {}
        for i in range(n_layers):
            span = span_of(size_tab, i, state.get(f"mask{i}"), stored.get(i))
            if span is None:
                raise ValueError(f"the stored links of layer {i} do not fit a network of {sizes}")
            columns = slice(starts[span[0]], starts[span[1] + 1])
            links[starts[i] : starts[i + 1], columns] = state[f"mask{i}"]
        topology = cls(list(size_tab), links, int(links.sum()), 0)
        layer = topology.layer_of
        skips = links & (layer[None, :] - layer[:, None] > 1)
        return topology._replace(n_rewired=int(state.get("n_rewired", skips.sum())))


def span_of(
    size_tab: Sequence[int], i: int, mask: torch.Tensor | None, known: Sequence[int] | None
) -> tuple[int, int] | None:
    """First and last layer that a mask of layer i reaches, as known or by its shape.

    Only a mask that begins with links inside the layer begins with the layer itself. None: no
    layers have that shape.
    """
    if mask is None or mask.dim() != 2:
        return None
    n = size_tab[i]
    inside = mask[:, :n]
    begins = bool(inside.any()) and not inside.tril().any() and inside.shape[1] == n
    fits = [
        (first, last)
        for first in ((i, i + 1) if begins else (i + 1,))
        for last in range(i + 1, len(size_tab))
        if mask.shape == (n, sum(size_tab[first : last + 1]))
        and (known is None or [first, last] == known)
    ]
    return fits[0] if fits else None


def wire_up(
    size_tab: Sequence[int], bypass_p: float = 0.0, intra: bool = False, seed: int = 0
) -> Topology:
    """Link adjacent layers (and hidden layers inside), then rewire each link with a probability.

    A rewired link goes to a place drawn uniformly among the empty ones that skip a layer; its own
    place becomes empty then. Output and data layer have no links inside.

    Args:
        size_tab: units per layer from the output backwards, the data last.
        bypass_p: probability to rewire a link, in [0, 1].
        intra: link the neurons of each hidden layer with each other before rewiring.
    Raises:
        ValueError: fewer than two layers, or no place for a layer-skipping link.
    Source: Gammell et al. 2021; one draw per slot of the list of empty places, whose content is the
    link that last left through it, is the published one-by-one procedure without its loop.
    """
    if len(size_tab) < 2 or min(size_tab) < 1:
        raise ValueError(f"size_tab {list(size_tab)} must list at least two positive layer sizes")
    generator = torch.Generator().manual_seed(seed)
    layer = torch.repeat_interleave(torch.arange(len(size_tab)), torch.tensor(list(size_tab)))
    distance = layer[None, :] - layer[:, None]  # (N, N), of layers; positive above the diagonal
    links = distance == 1
    if intra:
        hidden = (layer > 0) & (layer < len(size_tab) - 1)
        links |= torch.triu((distance == 0) & hidden[:, None], diagonal=1)
    places = links.flatten().nonzero().squeeze(1)
    n_candidates = len(places)
    chosen = torch.rand(n_candidates, generator=generator) < bypass_p
    removed = places[chosen][torch.randperm(int(chosen.sum()), generator=generator)]
    empty = (distance > 1).flatten().nonzero().squeeze(1)
    if len(removed) and not len(empty):
        raise ValueError("--bypass-p is above 0, but with two layers no link can skip one")
    if len(removed):
        slot = torch.randint(len(empty), (len(removed),), generator=generator)
        filled = empty[slot]
        order = torch.argsort(slot, stable=True)
        again = slot[order][1:] == slot[order][:-1]  # the slot holds the link that left before
        filled[order[1:][again]] = removed[order[:-1][again]]
        links.view(-1)[removed] = False
        links.view(-1)[filled] = True
    return Topology(list(size_tab), links, n_candidates, len(removed))


def glorot_bound(n: int, m: int) -> float:
    return math.sqrt(6.0 / (n + m))


def mean_glorot_bound(size_tab: Sequence[int]) -> float:
    """Mean over adjacent layers of the Glorot bound: the published magnitudes of new links."""
    bounds = [glorot_bound(n, m) for n, m in zip(size_tab, size_tab[1:], strict=False)]
    return sum(bounds) / len(bounds)
