"""The command line: what users type, right and wrong."""

import json
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import commands
import pytest
import torch
from PIL import Image

import commandLine
from errors import Stopped
from records.checkpoint import FORMAT
from runs.train import run_training
from systems import PRESETS
from systems.listing import times

README_TRAIN = {  # every `--action train` command of the published README, word for word
    "EB-1h": "--action 'train' --size_tab 10 512 784 --lr_tab 0.05 0.1 --epochs 30 --T 100 "
    "--Kmax 12 --beta 0.5 --dt 0.2 --benchmark",
    "EB-2h": "--action 'train' --size_tab 10 512 512 784 --lr_tab 0.01 0.1 0.4 --epochs 50 --T 400 "
    "--Kmax 40 --beta 0.5 --dt 0.2 --benchmark",
    "P-1h": "--action 'train' --discrete --size_tab 10 512 784 --lr_tab 0.04 0.08 --epochs 30 "
    "--T 40 --Kmax 15 --beta 0.1 --benchmark",
    "P-2h": "--action 'train' --discrete --size_tab 10 512 512 784 --lr_tab 0.005 0.05 0.2 "
    "--epochs 50 --T 100 --Kmax 20 --beta 0.5 --benchmark",
    "P-3h": "--action 'train' --discrete --size_tab 10 512 512 512 784 "
    "--lr_tab 0.002 0.01 0.05 0.2 --epochs 100 --T 180 --Kmax 20 --beta 0.5 --benchmark",
    "P-conv": "--action 'train' --activation-function 'hardsigm' --C_tab 64 32 1 --size_tab 10 "
    "--lr_tab 0.015 0.035 0.15 --epochs 40 --T 200 --Kmax 10 --beta 0.4 --benchmark",
}
CUT = ["--epochs", "1", "--T", "3", "--Kmax", "2", "--batch-size", "20"]


@pytest.mark.parametrize("row", README_TRAIN)
def test_published_commands_mean_what_they_say(row):
    args = commands.options(README_TRAIN[row])
    assert args["benchmark"] and args["dataset"] == "mnist" and args["batch_size"] == 20
    assert args["dt"] == (0.2 if row.startswith("EB") else 1.0)
    assert args["activation_function"] == ("hardsigm" if row == "P-conv" else "sigm")
    published = commands.options(f"--preset {row}-published")
    assert {name for name in args if args[name] != published[name]} == {"preset"}
    assert not PRESETS[f"{row}-published"].differs
    fast = commands.options(f"--preset {row}")
    changed = {name for name in published if fast[name] != published[name]} - {"preset"}
    expected = {"EB-1h": {"benchmark", "lr_tab"}, "EB-2h": {"benchmark"}, "P-2h": {"tol"}}
    expected["P-conv"] = {"beta_sign"}
    assert changed == {"solver", "T"} | expected.get(row, set())
    assert fast["solver"] == "relax" and PRESETS[row].differs


@pytest.mark.parametrize("row", ["EB-1h", "EB-2h"])
def test_the_bptt_presets_differ_in_method_clamp_and_rates_only(row):
    ep, bptt = commands.options(f"--preset {row}"), commands.options(f"--preset {row}-BPTT")
    changed = {name for name in ep if ep[name] != bptt[name]} - {"preset"}
    assert changed - {"lr_tab"} == {"training_method", "no_clamp"} and bptt["no_clamp"]
    assert ("lr_tab" in changed) is (row == "EB-1h")


@pytest.mark.parametrize("row", README_TRAIN)
def test_published_commands_run_with_their_steps_cut_down(row, tmp_path):
    words = [*shlex.split(README_TRAIN[row]), *CUT, "--data-dir", commands.small_mnist(tmp_path)]
    printed = commands.call(*words, "--results-dir", tmp_path / "results")
    folder = commands.only_run(tmp_path / "results")
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert printed.count("epoch 1/1") == 2


def test_the_toy_model_trains_on_digits(tmp_path):
    words = ["--toymodel", "--dataset", "digits", "--T", 5, "--Kmax", 2, "--batch-size", 200]
    words += ["--size-tab", 10, 12, 64]
    commands.call(*words, "--results-dir", tmp_path)
    assert commands.only_run(tmp_path).parts[-3] == "ep_toy_1hidden_digits"


def test_underscore_and_hyphen_are_the_same():
    one = commands.options(
        "--size-tab 10 20 784 --lr-tab .1 .2 --batch_size 3 --training_method eqprop"
    )
    assert one == commands.options(
        "--size_tab 10 20 784 --lr_tab .1 .2 --batch-size 3 --training-method eqprop"
    )


def test_a_negative_number_with_an_exponent_is_no_option():
    for text in ("-1e-3", "-.5", "-1.E+2", "-3"):
        assert commandLine.parse(["--beta", text]).beta == float(text)
    args = commandLine.parse(["--sweep", "beta", "-1e-3", "1e-3"])
    assert args.sweep == [["beta", "-1e-3", "1e-3"]]


def test_options_by_hand_win_over_the_preset():
    args = commands.options("--epochs 2 --preset P-2h --T 70")
    assert (args["epochs"], args["T"], args["Kmax"]) == (2, 70, 20)


def printed(line: str, capsys) -> str:
    """What a command prints that ends as soon as it has answered."""
    with pytest.raises(SystemExit) as end:
        commandLine.parse(shlex.split(line))
    assert not end.value.code
    return capsys.readouterr().out


def test_list_presets_has_a_line_for_each_with_the_papers_figure(capsys):
    text = printed("--list-presets", capsys)
    for name in PRESETS:
        assert re.search(rf"^ +{name}  ", text, re.M), name
    assert "EP 1.95 %, BPTT 2.09 %†" in text and "not measured" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "word, names",
    {
        "P-1h": {"P-1h", "P-1h-published"},
        "p1h-pub": {"P-1h-published"},
        "wine": {name for name in PRESETS if name.startswith("wine")},
        "gammell": {name for name, p in PRESETS.items() if "Gammell" in p.reported},
        "": set(PRESETS),
    }.items(),
)
def test_list_presets_shows_what_a_word_names_in_full(word, names, capsys):
    text = printed(f"--list-presets '{word}'", capsys)
    listed = {name for name in PRESETS if re.search(rf"^(  )?{name}(:|  )", text, re.M)}
    assert listed == names and max(map(len, text.splitlines())) <= 100
    text = " ".join(text.split())
    for preset in [PRESETS[name] for name in names] if word else []:
        assert preset.options in text and preset.reported in text and preset.differs in text


def test_measured_times_are_of_presets(capsys):
    assert times().keys() <= PRESETS.keys()
    assert all(time.epochs <= (PRESETS[n].epochs or time.epochs) for n, time in times().items())
    text = printed("--list-presets wine_5layer_swni", capsys)
    assert re.search(r"10 epochs; time \d", text) and "one core, AMD EPYC" in text


def test_a_time_that_is_an_estimate_says_what_it_is_from(capsys):
    name, time = next((name, time) for name, time in times().items() if time.part > 1)
    assert time.epochs == 1
    assert f", from 1/{time.part} of an epoch" in printed(f"--list-presets {name}", capsys)
    assert re.search(rf"^ +{name} .* x ~\d", printed("--list-presets", capsys), re.M)
    assert "from 1/" not in printed("--list-presets wine_5layer_swni", capsys)


def test_help_begins_with_examples_and_ends_within_two_screens(capsys):
    text = printed("--help", capsys)
    lines = text.splitlines()
    assert len(lines) <= 80 and max(map(len, lines)) <= 100
    at = lines.index("examples:")
    assert at < 8
    for line in lines[at + 1 : at + 6]:
        commandLine.parse(shlex.split(line.split("  ")[1])[2:]) if "--list" not in line else None
    for action in commandLine.build_parser()._actions:
        assert (
            not action.option_strings
            or action.option_strings[-1] in text
            or (action.option_strings[0] in text)
        )


def test_help_says_more_of_a_group_an_option_or_all(capsys):
    text = printed("--help all", capsys)
    for word in (
        "layered EP",
        "(default: 20)",
        "left out: 100, directed",
        "[beta]",
        "--list-presets",
    ):
        assert word in text
    group = printed("--help layered EP", capsys)
    assert "--C_tab" in group and "--N_H" not in group
    for spelling in ("lr-tab", "--lr_tab", "lr_tab"):
        assert "learning rates of W01" in printed(f"--help {spelling}", capsys)


def test_sizes_and_rates_left_out_are_taken_from_the_data_set(tmp_path):
    words = ["--dataset", "digits", "--T", "3", "--Kmax", "2", "--batch-size", "500"]
    commands.call(*words, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    recorded = json.loads((folder / "hyperparameters.json").read_text())["options"]
    assert recorded["size_tab"] == [10, 512, 64] and recorded["lr_tab"] == [0.05, 0.1]


DIGITS = "--dataset digits"
WRONG = {  # command line -> what its one line must say
    "--action learn": "invalid choice: 'learn': choose from train, plotcurves,",
    "--action plot": "invalid choice: 'plot': did you mean plotcurves?",
    "--activation-function relu": "invalid choice: 'relu': choose from sigm, tanh, hardsigm",
    "--dataset mnits": "invalid choice: 'mnits': did you mean mnist or kmnist?",
    "--training-method backprop": "invalid choice: 'backprop': did you mean BrainProp?",
    "--dtype float16": "invalid choice: 'float16': did you mean float64 or float32?",
    "--preset P-9h": "invalid choice: 'P-9h': did you mean P-3h, P-2h or P-1h?",
    "--preset P1h": "invalid choice: 'P1h': did you mean P-1h?",
    "--preset nothing": f"invalid choice: 'nothing': --list-presets shows all {len(PRESETS)}",
    "--list-presets Gamell": "did you mean Gammell?",
    "--no-such-option 3": "unrecognized arguments: --no-such-option: --help lists the options",
    "--epoch 3": "unrecognized arguments: --epoch: did you mean --epochs?",
    "--epoch=3": "unrecognized arguments: --epoch: did you mean --epochs?",
    "-epochs 3": "unrecognized arguments: -epochs: did you mean --epochs?",
    "--sweep seed 1 2": "--sweep seed: seeds are run by --trials N",
    "--sweep seeds 1 2": "--sweep seeds: seeds are run by --trials N",
    "--beta -1e-3.5": "--beta: '-1e-3.5' is not a number",
    "--lr_tab 0.1,0.2": "'0.1,0.2' is not a number above 0: values are separated by spaces",
    "--architecture convolutional --training-method BrainProp": "did you mean conv?",
    "--training-method asymEP --benchmark": "--benchmark is not used by the directed network",
    f"{DIGITS} --size_tab 64 512 10": "inputs of digits: from the output backwards it is 10 512 64",
    "--sweep bypas_p 0 1": "no such option to sweep: did you mean bypass_p",
    "--trials 1000000000": "--trials and --sweep ask for 1000000000 runs, 100000 are the most",
    "--trials 2 --jobs 1000000": "--jobs 1000000: this machine has",
    "--preset P-1h --training-method DEEP": "which --training-method asks for: it is one of --pre",
    "digits": "unrecognized arguments: digits: did you mean --dataset digits?",
    f"{DIGITS} --size_tab 10 300000 300000 64 --lr_tab .1": "GiB of memory: make it smaller",
    "--lr 0.1": "unrecognized arguments: --lr: did you mean --lr_tab?",
    "--help equilibria": "there is no group and no option 'equilibria': did you mean equilibrium?",
    "--beta 0": "--beta: '0' is not a number other than 0",
    "--beta nan": "--beta: 'nan' is not a number",
    "--beta -inf": "--beta: '-inf' is not a number",
    "--T -3": "--T/--T1: '-3' is not a whole number of at least 1",
    "--T 2.5": "--T/--T1: '2.5' is not a whole number of at least 1",
    "--Kmax 0": "--Kmax/--T2: '0' is not a whole number of at least 1",
    "--batch-size 0": "--batch-size: '0' is not a whole number",
    "--epochs many": "--epochs/--n_epochs: 'many' is not a whole number",
    "--dt 1.5": "--dt: '1.5' is not a step above 0 and at most 1",
    "--lr_tab 0.1 -0.1": "--lr_tab: '-0.1' is not a number above 0",
    "--seed -1": "--seed: '-1' is not a whole number of at least 0",
    f"--seed {10**30}": f"--seed: '{10**30}' is more than 9223372036854775807",
    "--threads 1000000000": "--threads: '1000000000' is more than 1024",
    "--lr_tab 1e300": "--lr_tab: '1e300' is more than 32-bit numbers hold",
    "--beta=-1e300": "--beta: '-1e300' is more than 32-bit numbers hold",
    "--beta 1e-300": "--beta: '1e-300' is nearer to 0 than 1.2e-38",
    f"{DIGITS} --size_tab 10 {10**12} 64": "GiB of memory: make it smaller",
    f"{DIGITS} --network-type MLFF --size_tab 10 {10**12} 64": "GiB of memory: make it smaller",
    f"{DIGITS} --C_tab {10**12} 1 --lr_tab .1 .1": "GiB of memory: make it smaller",
    f"--training-method DEEP --num_net {10**12}": "GiB of memory: make it smaller",
    f"--training-method DEEP --N_H {sys.maxsize}": "GiB of memory: make it smaller",
    "--dataset diabetes --training-method BrainProp --validation test --patience 3": (
        "--dataset diabetes has one output, these nets choose among some"
    ),
    "--tol -1": "--tol: '-1' is not a number of at least 0",
    "--size_tab": "--size_tab: expected at least one argument",
    f"{DIGITS} --size_tab 10 20 784": "must end in 64, the inputs of digits",
    f"{DIGITS} --size_tab 5 20 64": "starts with 5, digits has 10 outputs",
    f"{DIGITS} --size_tab 64": "must end in 64",
    f"{DIGITS} --lr_tab .1 .1 .1": "--lr_tab has 3 values, this network has 2 synapse groups",
    f"{DIGITS} --size_tab 10 5 5 5 5 64": "--lr_tab must be given",
    f"{DIGITS} --C_tab 8 3": "--C_tab ends in 3, digits has 1 channel(s)",
    f"{DIGITS} --C_tab 8 1 --Fconv 9 --lr_tab .1 .1": "8 x 8 maps, too small for filters of side 9",
    f"{DIGITS} --toymodel --size_tab 10 64": "--size_tab has 2 sizes, the toy model has 3",
    f"{DIGITS} --Fconv 3": "energy-based network, only by convolutional ones",
    f"{DIGITS} --patience 3": "energy-based network, only by feedforward ones",
    f"{DIGITS} --N_H 3": "energy-based network, only by directed ones",
    f"{DIGITS} --warmup 5 --epochs 2": "--warmup 5 is longer than the training, 2 epoch(s)",
    f"{DIGITS} --discrete --no-clamp": "--no-clamp is not used by the prototypical network",
    f"{DIGITS} --toymodel --discrete": "--discrete is not used by the toy network",
    f"{DIGITS} --image-size 8": "--image-size and --grey are for --dataset folder",
    f"{DIGITS} --benchmark --training-method EP": "leave --training-method out",
    f"{DIGITS} --training-method BPTT --T 5 --Kmax 9": "--Kmax 9 is more than --T 5",
    f"{DIGITS} --device-label 99": "--device-label 99: this machine has",
    f"{DIGITS} --action evaluate": "--action evaluate needs --load FILE",
    f"{DIGITS} --load nowhere.pt": "--load: no checkpoint at nowhere.pt",
    "--action evaluate --load nowhere.pt": "--load: no checkpoint at nowhere.pt",
    "--resume nowhere": "--resume: nowhere does not exist: give one that holds a hyperparameters",
    "--config nowhere.json": "--config: cannot read nowhere.json",
    "--preset P-1h --config x.json": "--preset and --config exclude each other",
    "--dataset folder --data-dir nowhere": "nowhere",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_writes_nothing(line, place, capfd):
    commands.refuses(line, WRONG[line], capfd)


def test_a_real_process_ends_with_status_2_and_no_traceback(place):
    done = commands.run("--beta", "0", cwd=place, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout
    assert list(place.iterdir()) == []


def test_images_must_be_there(place, capfd):
    (place / "pictures" / "cats").mkdir(parents=True)
    (place / "pictures" / "dogs").mkdir()
    assert "pictures" in commands.fails("--dataset folder --data-dir pictures", capfd)
    for kind in ("cats", "dogs"):
        for n in range(4):
            Image.new("L", (6, 6), 20 * n).save(place / "pictures" / kind / f"{n}.png")
    (place / "pictures" / "cats" / "2.png").write_bytes(b"no picture")
    assert "2.png" in commands.fails("--dataset folder --data-dir pictures", capfd)
    assert not (place / "results").exists()


def test_damaged_and_foreign_checkpoints(place, capfd):
    (place / "broken.pt").write_bytes(b"PK\x03\x04 cut short")
    assert "cannot be read as a checkpoint" in commands.fails("--load broken.pt", capfd)
    torch.save({"weights": {}}, place / "foreign.pt")
    assert "not a checkpoint of this program" in commands.fails("--load foreign.pt", capfd)
    torch.save({"format": FORMAT + 1}, place / "newer.pt")
    message = commands.fails("--action evaluate --load newer.pt", capfd)
    assert f"format {FORMAT + 1}, this program reads format {FORMAT}" in message


def test_records_are_checked_like_the_command_line(place, capfd):
    records = {
        "text.json": ("no json", "is not valid JSON"),
        "other.json": ("[1]", 'has no "options"'),
        "unknown.json": ('{"options": {"colour": 3}}', "option 'colour' that this program"),
        "wrong.json": ('{"options": {"beta": 0}}', "--beta: '0' is not a number other than 0"),
    }
    for name, (text, expected) in records.items():
        (place / name).write_text(text)
        assert expected in commands.fails(f"--config {name}", capfd)


def test_a_recorded_size_without_bounds_is_a_sentence(place, capfd):
    options = {"dataset": "digits", "size_tab": [10, 10**12, 64], "lr_tab": [0.1, 0.1]}
    (place / "large.json").write_text(json.dumps({"options": options}))
    assert "GiB of memory: make it smaller" in commands.fails("--config large.json", capfd)
    assert not (place / "results").exists()


def test_memory_that_ends_while_a_network_is_built_is_a_sentence(place, capfd, monkeypatch):
    from runs import setup

    def build(self, args, data):
        torch.empty(2**50)

    monkeypatch.setattr(setup, "all_memory", lambda: None)  # as on a system that does not tell
    monkeypatch.setattr("systems.layered.EnergyBased.build", build)
    assert "not enough memory for this network" in commands.fails(DIGITS, capfd)


@pytest.mark.parametrize(
    "words, expected",
    {
        "--lr_tab 1e30": "--lr_tab 1e+30 moves weights so far",
        "--beta 1e30": "--beta 1e+30 holds the outputs",
        "--training-method DEEP --dt_W 1e30 --T 5 --Kmax 5": "--dt_W 1e+30 moves weights so far",
    }.items(),
)
def test_a_step_without_return_is_warned_of(words, expected, place, capfd):
    sizes = "" if "DEEP" in words else "--size_tab 10 8 64"
    commands.call(*f"{DIGITS} --train-samples 20 {sizes} {words} --epochs 1".split())
    assert f"warning: {expected}" in capfd.readouterr().err


def test_directed_networks_say_how_long_an_epoch_of_many_patterns_is():
    args = commandLine.parse(["--dataset", "mnist", "--training-method", "DEEP"])
    data = SimpleNamespace(train=range(60000), test=range(10000), n_classes=10, shape=(1, 28, 28))
    [caution] = args.system.cautions(args, data)
    assert "an epoch is 2.0e+09 updates of states" in caution and "--train-samples" in caution
    few = SimpleNamespace(train=range(4), test=range(4), n_classes=1, shape=(2,))
    assert not args.system.cautions(args, few)


def test_a_loss_that_is_not_finite_names_what_was_typed(place, capfd):
    line = f"{DIGITS} --discrete --size_tab 10 8 64 --train-samples 40 --T 5 --Kmax 10 --beta 1e30"
    assert "lower --beta; the last checkpoint" in commands.fails(line, capfd)


def test_memory_that_ends_while_training_is_a_sentence(place, capfd, monkeypatch):
    monkeypatch.setattr("runs.train.train", lambda *_: torch.empty(2**50))
    message = commands.fails(f"{DIGITS} --size_tab 10 8 64", capfd)
    assert "there is not enough memory for this: a smaller network, --batch-size" in message


def test_what_is_stored_of_another_kind_is_named(place, capfd):
    commands.call(*commands.SMALL, "--epochs", 1)
    folder = commands.only_run(place / "results")
    other = "--training-method DEEP"
    message = commands.fails(f"--action evaluate --load {folder}/checkpoint.pt {other}", capfd)
    assert "--training-method cannot be changed: --load takes a network of the energy" in message
    message = commands.fails(f"--resume {folder} {other}", capfd)
    assert "--training-method cannot be changed: --resume takes a network of the en" in message
    assert "this run is finished: --epochs N" in commands.call("--resume", folder)


def test_a_wrong_value_in_a_record_names_its_file(place, capfd):
    (place / "mine.json").write_text('{"options": {"dataset": "digits", "beta": "x"}}')
    message = commands.fails("--config mine.json", capfd)
    assert "error: mine.json: argument --beta: 'x' is not a number" in message
    assert "mine.json" not in commands.fails("--beta x", capfd)  # which nothing is read from


def test_what_has_no_middle_is_not_resumed(place, capfd):
    commands.call(*commands.SMALL, "--action", "receipe", "--batches", 1)
    folder = commands.only_run(place / "results")
    message = commands.fails(f"--resume {folder}", capfd)
    assert "is of --action receipe, which has no middle to go on from: do it again by" in message


def test_nobody_reading_does_not_end_a_run(place):
    line = f"{shlex.quote(sys.executable)} {commands.ROOT}/main.py --no-figures"
    done = subprocess.run(
        f"{line} {shlex.join(commands.SMALL)} --train-samples 100 --epochs 3 2>&1 | head -1; "
        "echo ${PIPESTATUS[0]}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    first, status = done.stdout.splitlines()
    assert first.startswith("results in") and status == "0" and not done.stderr
    rows = (commands.only_run(place / "results") / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4


def test_a_second_signal_prints_the_command_that_goes_on(place, capsys, monkeypatch):
    def train(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("runs.train.train", train)
    with pytest.raises(Stopped, match="stopped at once; go on with: python main.py --resume"):
        args = commandLine.parse([*commands.SMALL, "--no-figures"])
        run_training(args, list(commands.SMALL))


def test_a_rate_whose_quotient_by_beta_overflows_is_a_sentence(place, capfd):
    line = f"{DIGITS} --size_tab 10 8 64 --lr_tab 1e30 --beta 1e-30 --T 2 --Kmax 1"
    message = commands.fails(line, capfd)
    assert "--lr_tab 1e+30 over --beta 1e-30 is more than float32 holds: lower the rate" in message


def test_resume_refuses_other_options(place, capfd):
    commands.call(*commands.SMALL, "--epochs", 1)
    folder = commands.only_run(place / "results")
    message = commands.fails(f"--resume {folder} --beta 0.3 --T 9", capfd)
    assert "--T, --beta cannot be changed" in message
    (folder / "checkpoint.pt").unlink()
    assert "no checkpoint at" in commands.fails(f"--resume {folder}", capfd)


def test_a_network_is_not_evaluated_on_data_of_another_size(place, capfd):
    commands.call(*commands.SMALL, "--epochs", 1)
    folder = commands.only_run(place / "results")
    for kind in ("cats", "dogs"):
        (place / "pictures" / kind).mkdir(parents=True)
        for n in range(4):
            Image.new("L", (6, 6), 20 * n).save(place / "pictures" / kind / f"{n}.png")
    line = f"--action evaluate --load {folder}/checkpoint.pt --dataset folder --data-dir pictures"
    assert "must end in" in commands.fails(line + " --grey", capfd)


def test_a_convolutional_network_trains_on_a_folder_of_colour_images(place):
    for part in ("train", "test"):
        for kind, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            (place / "pictures" / part / kind).mkdir(parents=True)
            for n in range(6):
                shade = tuple(c + 5 * n for c in colour)
                Image.new("RGB", (9, 9), shade).save(place / f"pictures/{part}/{kind}/{n}.png")
    line = (
        "--dataset folder --data-dir pictures --image-size 8 --C_tab 4 3 --Fconv 3 --T 10 --Kmax 4 "
    )
    line += "--beta 0.5 --lr_tab 0.5 0.5 --batch-size 2 --epochs 30 --activation-function sigm"
    commands.call(*shlex.split(line))
    folder = commands.only_run(place / "results")
    assert folder.parts[-3] == "ep_conv_1conv_1fc_pictures"
    last = (folder / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert float(last[3]) == 0.0  # test error
