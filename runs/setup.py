"""What the options of a run stand for: data, network and schedule, and the memory they take."""

from __future__ import annotations

import math
import os
import sys

import torch

from commandLine.settings import Settings, fitted, methods_of
from datasets import Dataset, hold_out, load_dataset, normalised, one_hot, random_dataset, some_of
from errors import RunError, lacks_memory
from netClasses import EquilibriumNetwork
from networks.noise import Noise
from networks.schedule import Schedule
from parallel import threads_for
from process import launched, local_rank

STEP_OF_TEST = 2e9  # most multiplications, in one direction: half a second of one core
STEP_ON_GPU = 100 * STEP_OF_TEST
LEAST_TESTED = 16  # samples at a time: fewer gain nothing


def build_network(args: Settings, data: Dataset, state: dict | None = None) -> EquilibriumNetwork:
    """The network that the options describe, with the weights that --seed stands for.

    Args:
        state: what is going to be loaded into it, which then says what its structure is.
    Raises:
        RunError: sizes that do not fit each other, or the memory.
    """
    system = args.system
    check_memory(4 * len(methods_of(args)) * system.n_weights(args, data), "weights")
    check_memory(8 * system.n_states(args, data), "states")
    try:
        net = system.rebuild(args, data, state) if state else system.build(args, data)
        net = net.to(device_of(args), getattr(torch, args.dtype))
    except ValueError as error:
        raise RunError(str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise RunError("there is not enough memory for this network: make it smaller") from None
    net.noise = Noise(args.state_noise, args.weight_noise, args.seed)
    if args.compile:
        net.compile_steps()
    return net


def check_memory(needed: float, what: str) -> None:
    """Raise RunError if what a network keeps, in bytes, is more than this machine has."""
    there = all_memory()
    if there is not None and needed > there:
        fewer = "make it smaller" if what == "weights" else "make it smaller, or --train-samples"
        raise RunError(
            f"the {what} of this network take {needed / 2**30:.3g} GiB, this machine has "
            f"{there / 2**30:.3g} GiB of memory: {fewer}"
        )


def device_of(args: Settings) -> torch.device:
    """The device asked for; of the processes of torchrun each one has a GPU of its own."""
    if args.device_label < 0:
        return torch.device("cpu")
    return torch.device(f"cuda:{local_rank() if launched() else args.device_label}")


def schedule_of(args: Settings, net: EquilibriumNetwork) -> Schedule:
    rates = args.lr_tab or []
    if len(rates) == 1:
        rates = rates * net.n_rates
    whole = sys.maxsize  # batch size of directed networks, which are taught all patterns at once
    return Schedule(
        T=args.T or 0,  # of a relaxed phase nobody counts the steps
        Kmax=args.Kmax,
        beta=args.beta,
        lr_tab=rates,
        batch_size=args.batch_size or whole,
        test_batch_size=samples_at_a_time(args, net),
        epochs=args.epochs,
        tol=args.tol,
        seed=args.seed,
        dtype=getattr(torch, args.dtype),
        random_sign=args.beta_sign == "random",
        both_signs=args.beta_sign == "both",
        nudge=args.nudge or "finite",
        persistent=bool(args.persistent),
        measure_training=args.train_error == "full",
        test_every=args.test_every,
        halve_every=args.halve_every if args.schedule == "step" else 0,
        cosine=args.schedule == "cosine",
        warmup=args.warmup,
        optimizer=args.optimizer,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        patience=args.patience or 0,
        minutes=args.minutes or 0.0,
        augment=bool(args.augment),
        solver=args.solver or "step",
        omega=args.omega or 0.0,
        max_sweeps=args.max_sweeps or 0,
    )


def samples_at_a_time(args: Settings, net: EquilibriumNetwork) -> int:
    """Samples that are tested at a time: as many as asked for, or even parts of that where a step

    with so many would keep a wish to stop waiting. No answer depends on the others of its batch,
    but for the steps that end when all are at rest, of which nothing is parted.
    """
    size, stepped = args.test_batch_size, args.tol and args.solver == "step"
    if not size or stepped:
        return size or sys.maxsize
    work = STEP_OF_TEST if args.device_label < 0 else STEP_ON_GPU
    most = max(LEAST_TESTED, int(work / max(1, net.multiplications)))
    return math.ceil(size / math.ceil(size / most))


def load_data(args: Settings) -> tuple[Settings, Dataset]:
    """The data set, and the settings with what follows from its sizes."""
    device = device_of(args)
    if args.dataset == "random":
        data = random_dataset(args.size_tab[-1], args.size_tab[0], args.seed, device)
    else:
        data = load_dataset(args.dataset, args.data_dir, device, args.image_size, args.grey)
    if data.note:
        print(data.note, flush=True)
    if args.augment and len(data.shape) != 3:
        raise RunError(f"--augment {args.augment} is for images, {args.dataset} has none")
    if args.normalise:
        data = normalised(data)
    if args.one_hot and data.train.task == "bits":
        data = one_hot(data)
    if args.train_samples:
        data = some_of(data, args.train_samples, args.seed)
    if args.test_samples:
        data = some_of(data, args.test_samples, args.seed, "test")
    if args.test_every > 1 and data.test is data.train:
        raise RunError(f"--test-every: testing on {data.name}, on what is learnt, takes no time")
    if args.validation and args.validation != "test" and args.action == "train":
        data = hold_out(data, float(args.validation), args.seed)
    return with_threads(fitted(args, data), data), data


def with_threads(args: Settings, data: Dataset) -> Settings:
    """Set the number of threads; 0, torch's choice, is left as it is."""
    if not args.threads and args.device_label < 0:
        args = args.changed(threads=threads_for(args.system.multiplications(args, data)))
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def warn_of_memory(nets: dict, data: Dataset, schedule: Schedule) -> None:
    """Say how much the stored free states take, if it is more than half of the free memory."""
    if not schedule.persistent:
        return
    one, _ = data.train.batch(slice(0, 1), schedule.dtype)
    n_bytes = 0
    for net in nets.values():
        with torch.no_grad():
            s = net.initHidden(net.drive(one))
        n_bytes += sum(v.nbytes for v in s) * (len(data.train) + len(data.test))
    free = free_memory(data.train.x.device)
    if free is not None and n_bytes > free / 2:
        print(
            f"warning: the persistent states take {n_bytes / 2**30:.2f} GiB, {free / 2**30:.2f} "
            "GiB of memory are free: --no-persistent does without them",
            file=sys.stderr,
            flush=True,
        )


def free_memory(device: torch.device) -> int | None:
    """Bytes free on the device, or None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def all_memory() -> int | None:
    """Bytes of memory of the machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def prepare(args: Settings) -> None:
    """Set up this process for a run."""
    if args.device_label >= torch.cuda.device_count():
        raise RunError(
            f"--device-label {args.device_label}: this machine has "
            f"{torch.cuda.device_count()} CUDA device(s), counted from 0; -1 is the CPU"
        )
