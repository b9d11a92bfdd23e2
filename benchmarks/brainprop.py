"""Time BrainProp against the same networks in plain torch with cross-entropy.

    python benchmarks/brainprop.py                           # all four architectures, as on MNIST
    python benchmarks/brainprop.py conv loccon --batches 20 --threads 1
    python benchmarks/brainprop.py conv loccon deep --cifar
    python benchmarks/brainprop.py dense conv --keras        # after pip install tensorflow-cpu

The plain network has torch's own layers and optimiser, and locally connected layers of `unfold` and
`einsum`; both start from the same weights and must give the same output, or the exit status is 1.
Batches are learnt in turn (plain, BrainProp, EBP, plain, ...), so that whatever else the machine
does hits all. The seconds of an epoch are those of the median batch times the batches of an epoch:
extrapolated, and testing is not included. Random images stand in for the data set: the time does
not depend on what they show. An architecture is measured in a process of its own; its peak memory,
torch included, is that of BrainProp alone. The published program is written in Keras, a version of
which that has its locally connected layer cannot be installed any more: --keras times the other
networks in today's, with as many threads, right after ours.
"""

import argparse
import importlib.util
import math
import multiprocessing
import resource
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training import SHARE_OF_INK, positive_int, relative_error, timed  # noqa: E402

from netFunctions import Schedule  # noqa: E402
from networks.architectures import ARCHITECTURES, build_classifier
from networks.brainprop import BATCH_SIZE, keep_freed_memory, learn_by_brainprop, learn_by_ebp, look
from networks.brainpropLayers import BatchNorm, FlattenImages, FromPositions, LocallyConnected

N_CLASSES = 10
SCHEDULE = Schedule(T=0, Kmax=0, beta=0.0, lr_tab=[1e-4])  # small: random labels teach nothing
TOLERANCE = 2e-4  # of the outputs, float32
MOST_TO_PLAIN, MOST_TO_CONV, MOST_GIGABYTES = 1.1, 4.0, 3.0


class Line(NamedTuple):
    """What was measured of an architecture; milliseconds per batch, seconds per epoch."""

    architecture: str
    error: float  # of the output, relative
    plain: float
    brainprop: float
    ebp: float
    epoch: float  # by BrainProp
    ratio: float  # BrainProp to plain
    gigabytes: float
    keras: float  # NaN: not measured


# ------------------------------------------------------------------------------- the plain network


class PlainLocallyConnected(nn.Module):
    """(batch, channels, height, width) -> (batch, filters, rows, columns), filters untied."""

    def __init__(self, ours):
        super().__init__()
        self.size_out, self.stride = ours.size_out, ours.stride
        weight = ours.weight.detach().unflatten(1, (9, -1))  # (positions, 9, channels, filters)
        self.weight = nn.Parameter(weight.transpose(1, 2).flatten(1, 2).contiguous())

    def forward(self, x):
        patches = nn.functional.unfold(x, 3, stride=self.stride)  # (batch, channels * 9, positions)
        return torch.einsum("bkp,pkf->bfp", patches, self.weight).unflatten(2, self.size_out)


def plain_twin(net):
    """The same network of torch's own layers, with the same weights."""
    layers, channels = [], 0  # of the maps below; 0 where there are none
    for layer in net:
        if isinstance(layer, nn.Linear):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=False)
            weight = layer.weight.detach()
            if channels:  # ours go over the positions first, torch's over the channels
                weight = weight.unflatten(1, (-1, channels)).transpose(1, 2).flatten(1)
            plain.weight.data.copy_(weight)
            channels = 0
        elif isinstance(layer, nn.Conv2d):
            options = {"stride": layer.stride, "padding": layer.padding, "bias": False}
            plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3, **options)
            plain.weight.data.copy_(layer.weight.detach())
        elif isinstance(layer, LocallyConnected):
            plain = PlainLocallyConnected(layer)
        elif isinstance(layer, BatchNorm):
            channels = layer.num_features
            plain = nn.BatchNorm2d(channels, layer.eps, layer.momentum)
        elif isinstance(layer, nn.Dropout):
            plain = nn.Dropout(layer.p)
        elif isinstance(layer, nn.Flatten | FlattenImages | FromPositions):
            plain = nn.Flatten()
        elif isinstance(layer, nn.ReLU | nn.MaxPool2d):
            plain = layer
        else:
            continue  # a layout
        layers.append(plain)
    return nn.Sequential(*layers)


def plain_learner(plain, penalty):
    """A function that teaches the plain network a batch by cross-entropy and torch's SGD."""
    optimiser = torch.optim.SGD(plain.parameters(), SCHEDULE.lr_tab[0], weight_decay=2 * penalty)

    def learn(data, target):
        plain.train()
        optimiser.zero_grad()
        nn.functional.cross_entropy(plain(data), target.argmax(1)).backward()
        optimiser.step()

    return learn


def keras_twin(net):
    """The same network in Keras, ready to learn by cross-entropy; its weights are its own."""
    import keras

    layers, options = [], {"use_bias": False}
    for layer in net:
        if isinstance(layer, nn.Linear):
            layers.append(keras.layers.Dense(layer.out_features, **options))
        elif isinstance(layer, nn.Conv2d):
            filters, stride = layer.out_channels, layer.stride
            layers.append(keras.layers.Conv2D(filters, 3, stride, padding="same", **options))
        elif isinstance(layer, nn.ReLU):
            layers.append(keras.layers.ReLU())
        elif isinstance(layer, BatchNorm):
            layers.append(keras.layers.BatchNormalization())
        elif isinstance(layer, nn.Dropout):
            layers.append(keras.layers.Dropout(layer.p))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(keras.layers.MaxPooling2D(2))
        elif isinstance(layer, nn.Flatten | FlattenImages):
            layers.append(keras.layers.Flatten())
    model = keras.Sequential([*layers, keras.layers.Softmax()])
    model.compile(keras.optimizers.SGD(SCHEDULE.lr_tab[0]), "categorical_crossentropy")
    return model


# ------------------------------------------------------------------------------------ measuring


def random_batch(shape, batch_size):
    """Images (batch, *shape) with the sparsity of MNIST, and one-hot targets."""
    generator = torch.Generator().manual_seed(0)
    ink = torch.rand(batch_size, *shape, generator=generator) < SHARE_OF_INK
    label = torch.randint(N_CLASSES, (batch_size,), generator=generator)
    data = torch.rand(batch_size, *shape, generator=generator) * ink
    return data, nn.functional.one_hot(label, N_CLASSES).to(data.dtype)


def measure(architecture, options):
    """Compare and time one architecture; runs in a process of its own."""
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.return_memory:
        keep_freed_memory()
    shape, n_train = ((3, 32, 32), 50_000) if options.cifar else ((1, 28, 28), 60_000)
    net = build_classifier(architecture, shape, N_CLASSES)
    batch = random_batch(shape, BATCH_SIZE[architecture])
    for _ in range(3):
        learn_by_brainprop(net, *batch, SCHEDULE)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    net = build_classifier(architecture, shape, N_CLASSES)
    plain = plain_twin(net).eval()
    with torch.no_grad():
        error = relative_error([look(net, *batch, SCHEDULE).output], [plain(batch[0])])
    learn_plain = plain_learner(plain, net.l2)
    rules = (
        lambda: learn_plain(*batch),
        lambda: learn_by_brainprop(net, *batch, SCHEDULE),
        lambda: learn_by_ebp(net, *batch, SCHEDULE),
    )
    times = [[timed(rule) for rule in rules] for _ in range(options.batches + 2)][2:]
    ours = statistics.median(row[1] for row in times)
    return Line(
        architecture,
        error,
        *map(statistics.median, zip(*times, strict=True)),
        epoch=math.ceil(n_train / BATCH_SIZE[architecture]) * ours / 1000,
        ratio=statistics.median(row[1] / row[0] for row in times),
        gigabytes=gigabytes,
        keras=math.nan,
    )


def measure_keras(architecture, options):
    """Milliseconds of a batch in Keras; runs in a process of its own."""
    import tensorflow

    if options.threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(options.threads)
    shape = (3, 32, 32) if options.cifar else (1, 28, 28)
    data, target = random_batch(shape, BATCH_SIZE[architecture])
    batch = data.permute(0, 2, 3, 1).numpy(), target.numpy()
    model = keras_twin(build_classifier(architecture, shape, N_CLASSES))
    times = [timed(lambda: model.train_on_batch(*batch)) for _ in range(options.batches + 2)][2:]
    return statistics.median(times)


def print_table(lines):
    print(
        f"\n{'':<8}{'plain ms':>10}{'BrainProp':>11}{'EBP':>9}{'ratio':>8}"
        f"{'s/epoch*':>10}{'peak GB':>9}{'Keras ms':>10}"
    )
    for line in lines:
        verdict = "  slower than it should be" if line.ratio > MOST_TO_PLAIN else ""
        verdict += "  takes too much memory" if line.gigabytes > MOST_GIGABYTES else ""
        print(
            f"{line.architecture:<8}{line.plain:>10.1f}{line.brainprop:>11.1f}{line.ebp:>9.1f}"
            f"{line.ratio:>8.2f}{line.epoch:>10.1f}{line.gigabytes:>9.2f}{line.keras:>10.1f}{verdict}"
        )
    print(f"* extrapolated; ratio: BrainProp / plain, at most {MOST_TO_PLAIN}")
    epochs = {line.architecture: line.epoch for line in lines}
    if {"conv", "loccon"} <= set(epochs):
        ratio = epochs["loccon"] / epochs["conv"]
        verdict = "" if ratio <= MOST_TO_CONV else "  missed"
        print(f"loccon / conv, per epoch: {ratio:.2f}, at most {MOST_TO_CONV}{verdict}")


def read_options():
    parser = argparse.ArgumentParser(
        description="Time BrainProp against the same networks in plain torch.", allow_abbrev=False
    )
    parser.add_argument(
        "architectures",
        nargs="*",
        metavar="ARCHITECTURE",
        help=f"of {', '.join(ARCHITECTURES)} (default: all)",
    )
    parser.add_argument(
        "--batches", type=positive_int, default=10, metavar="N", help="timed batches (default: 10)"
    )
    parser.add_argument("--cifar", action="store_true", help="3 channels of 32x32, 50,000 images")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="default: torch's choice")
    parser.add_argument(
        "--return-memory",
        action="store_true",
        help="do without keep_freed_memory(), to see what it brings",
    )
    parser.add_argument(
        "--keras", action="store_true", help="time Keras, too (needs TensorFlow; not loccon)"
    )
    options = parser.parse_args()
    if options.keras and importlib.util.find_spec("tensorflow") is None:
        parser.error("--keras needs TensorFlow: pip install tensorflow-cpu")
    unknown = [name for name in options.architectures if name not in ARCHITECTURES]
    if unknown:
        parser.error(
            f"no architecture {', '.join(unknown)}: choose from {', '.join(ARCHITECTURES)}"
        )
    return options


def main():
    options = read_options()
    threads = options.threads or torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, median of {options.batches} batches")
    spawn = multiprocessing.get_context("spawn")
    lines = []
    for name in options.architectures or ARCHITECTURES:
        with spawn.Pool(1) as pool:
            line = pool.apply(measure, (name, options))
        if options.keras and name != "loccon":
            with spawn.Pool(1) as pool:
                line = line._replace(keras=pool.apply(measure_keras, (name, options)))
        lines.append(line)
        print(f"{name}: relative error of the output {lines[-1].error:.1e}", flush=True)
    print_table(lines)
    if any(line.error > TOLERANCE for line in lines):
        print("the networks of a row differ: its time means nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
