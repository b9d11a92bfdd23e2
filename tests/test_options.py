"""Every option x system x action: it is refused where it is typed, or it is read."""

import argparse
import dataclasses
import functools

import commands
import pytest

import commandLine
from commandLine import parse
from commandLine.actions import ACTIONS, ALWAYS
from commandLine.checks import check_typed
from commandLine.settings import Settings, build_parser, methods_of
from errors import UserError
from netClasses import ACTIVATIONS as RHO
from networks.architectures import ARCHITECTURES
from networks.architectures import EPSILON as SHARE
from networks.schedule import Schedule
from runs import evaluate, measure, one, train
from systems import SYSTEMS, partner_of, system_of
from systems.brainprop import BATCH_SIZE, EPSILON
from systems.layered import ACTIVATIONS

pytestmark = pytest.mark.long

# What the program reads before or beside a run, whatever the run is.
OF_THE_PROGRAM = ALWAYS | {"trials", "sweep", "jobs", "backend", "scheduler", "resume", "load"}
OF_THE_PROGRAM |= {"results_dir", "data_dir", "name", "note"}
OF_RELAX = {"omega", "max_sweeps"}  # refused where phases are stepped, as here
OWN = commands.ROOT / "tests" / "ownNetworks.py"
PHASES = "--T 4 --Kmax 2 --batch-size 500 --dataset digits --threads 1"
WORDS = {  # per system, a run that takes a moment
    "energy-based": f"{PHASES} --size_tab 10 8 64",
    "prototypical": f"{PHASES} --size_tab 10 8 64 --discrete",
    "convolutional": f"{PHASES} --C_tab 4 1 --Fconv 3 --lr_tab 0.1 0.1",
    "toy": f"{PHASES} --toymodel --size_tab 10 8 64",
    "small-world": f"{PHASES} --network-type SW_no_intra --size_tab 10 8 8 64",
    "own": f"{PHASES} --size_tab 10 8 64 --lr_tab 0.1 --network {OWN}:Plain",
    "DEEP": "--training-method DEEP --T 4 --Kmax 2 --epochs 1 --sparse --regularized",
    "asymEP": "--training-method asymEP --T 4 --Kmax 2 --epochs 1 --sparse --regularized",
    "feedforward": "--architecture dense --training-method BrainProp --dataset digits --epochs 1",
}
FIELDS = {  # of a Schedule, where they are not called as the option
    "random_sign": "beta_sign",
    "measure_training": "train_error",
}


def key_of(system) -> str:
    return system.rules[0] if system.name == "directed" else system.name


def system_of_key(key: str):
    return next(system for system in SYSTEMS if key_of(system) == key)


CASES = [
    (key_of(system), name)
    for system in SYSTEMS
    for name in ("train", "evaluate", "plotcurves", "receipe", "audit")
    if system.has_phases or not (ACTIONS[name].compares or ACTIONS[name].of_phases)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("options")


@functools.cache
def names_read(key: str, action: str, place) -> frozenset[str]:
    """Names of the options that a run of this system and action has looked at."""
    read: set[str] = set()

    class Traced(Settings):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    class TracedSchedule(Schedule):
        def __getattribute__(self, name):
            read.add(FIELDS.get(name, name))
            return super().__getattribute__(name)

    def replace(old, **changes):
        return type(old)(**object.__getattribute__(old, "__dict__") | changes)

    def schedule_of(args, net):
        plain = Settings(**object.__getattribute__(args, "__dict__"))
        return TracedSchedule(**vars(whole(plain, net)))

    words = [*WORDS[key].split(), "--results-dir", str(place / key / action), "--quiet"]
    if action != "train":
        names_read(key, "train", place)
        checkpoint = commands.only_run(place / key / "train") / "checkpoint.pt"
        words = ["--load", str(checkpoint), "--action", action, "--quiet"]
        if action == "audit" and "batch_size" not in system_of_key(key).refuses:
            words += ["--batch-size", "5"]
        if action != "evaluate":
            words += ["--results-dir", str(place / key / action)]
    whole = train.schedule_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commandLine, "Settings", Traced)
        for actions in (train, evaluate, measure):
            patch.setattr(actions, "schedule_of", schedule_of)
        patch.setattr(dataclasses, "replace", replace)
        patch.setattr("plotFunctions.plot_folder", lambda path: [])
        commands.call(*words)
    return frozenset(read)


@functools.cache
def typed(key: str) -> dict:
    return vars(parse([*WORDS[key].split(), "--action", "train"]))


def may_be_typed(name: str, key: str, action: str) -> bool:
    args = argparse.Namespace(**typed(key))
    args.action = action
    try:
        check_typed(args, system_of(args), {name})
    except UserError as error:
        assert "not used by" in str(error) or "is used with" in str(error)
        return False
    return True


@pytest.mark.parametrize("key, action", CASES)
def test_every_option_is_refused_or_read(key, action, place):
    options = {a.dest for a in build_parser()._actions} - {"help", "folders"}
    allowed = {name for name in options if may_be_typed(name, key, action)}
    assert len(allowed) > 15
    system = system_of_key(key)
    refused_later = OF_RELAX | (system.structure if action != "train" else set())  # with --load
    not_read = allowed - names_read(key, action, place) - OF_THE_PROGRAM
    not_read -= system.selectors | refused_later
    assert not not_read, f"{key}, {action}: typed without effect"


@pytest.mark.parametrize(
    "line",
    [
        "--action evaluate --load c.pt --patience 3",
        "--action receipe --training-method DEEP --sparse",
        "--action receipe --training-method DEEP --num_net 3",
        "--action receipe --training-method DEEP --stop 0.1",
        "--training-method BPTT --beta-sign random",
        "--training-method BPTT --beta 0.5",
        "--training-method EBP --epsilon 0.1",
        "--training-method asymEP --beta_0 1",
        "--training-method DEEP --temp 3",
        "--compile --tol 1e-3",
        "--trials 1 --jobs 4",
        "--T 30 --omega 1.3",
        "--solver step --max-sweeps 9",
        "--solver relax --T 30",
        "--solver relax --tol 0",
        "--solver relax --compile",
        "--solver relax --training-method DEEP",
        "--training-method DEEP --omega 1.3",
        "--architecture dense --solver step",
        "--omega 2",
        "--omega 0",
        "--network-type MLFF --bypass-p 0.3",
        "--action report --T 3",
        "--action plotcurves --architecture dense",
    ],
)
def test_what_is_never_read_is_refused(line, monkeypatch, capsys):
    monkeypatch.setattr(commandLine, "recorded_words", lambda *_: [])
    with pytest.raises(SystemExit) as end:
        parse(line.split())
    message = capsys.readouterr().err
    assert end.value.code == 2 and message.count("\n") == 1 and message.startswith("main.py: error")


def test_a_typed_method_ends_the_benchmark_of_a_preset():
    args = parse(["--preset", "P-1h", "--training-method", "BPTT"])
    assert methods_of(args) == ["BPTT"]
    args = parse(["--preset", "P-1h", "--no-benchmark"])
    assert methods_of(args) == ["EP"]


def test_every_flag_can_be_taken_back():
    flags = [a for a in build_parser()._actions if type(a).__name__ == "Flag"]
    assert len(flags) > 12
    for flag in flags:
        on, off = flag.option_strings[0], flag.opposite
        args = build_parser().parse_args([on, off])
        assert getattr(args, flag.dest) is False, (on, off)


def test_settings_are_frozen():
    args = parse([])
    with pytest.raises(AttributeError, match="frozen"):
        args.T = 3
    assert args.changed(beta=3.0).beta == 3.0 and args.beta == 1.0


def test_no_system_leaves_out_more_than_ten_shared_options():
    assert all(len(system.leaves_out) <= 10 for system in SYSTEMS)
    shared = set().union(*(action.reads for action in ACTIONS.values()))
    for system in SYSTEMS:
        assert not system.owns & shared and system.refuses <= shared
        assert system.learning <= system.owns and system.structure <= system.owns


def test_what_is_declared_is_what_is_computed():
    assert tuple(RHO) == ACTIVATIONS
    assert list(ARCHITECTURES) == list(BATCH_SIZE) and SHARE == EPSILON
    for name, run in one.ACTIONS.items():
        assert name in ACTIONS and callable(run)
    assert set(one.ACTIONS) == {name for name, a in ACTIONS.items() if not a.defaults}
    assert partner_of("EP") == "BPTT" and partner_of("EBP") == "BrainProp"
    assert partner_of("DEEP") == ""


@pytest.mark.parametrize(
    "line, solver",
    [
        ("", "relax"),
        ("--T 30", "step"),
        ("--Kmax 12", "step"),
        ("--solver relax --Kmax 12", "relax"),
        ("--solver step", "step"),
        ("--training-method DEEP", "step"),
        ("--training-method asymEP", "step"),
        ("--architecture conv --benchmark", None),
    ],
)
def test_typed_steps_are_stepped(line, solver):
    args = parse(line.split())
    assert args.solver == solver
    assert (args.T is None) is (solver != "step")
