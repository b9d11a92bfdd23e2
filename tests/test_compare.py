"""The comparison of learning rules: who sees what, what the table says, and what is refused."""

import contextlib
import importlib
import json
import shlex

import commands
import numpy as np
import pytest
import torch
from commands import refuses

import plotFunctions
from errors import RunError
from readers.names import NAMES
from records.checkpoint import read_checkpoint
from report.comparison import read_comparison, write_comparison
from runs import many
from runs.launch import Launcher, run_one
from runs.many import read_rows
from systems.referee import FILE, read_contestants
from teaching.epoch import Epoch

pytestmark = pytest.mark.long

CONTESTANTS = """name,rule,datasets,options,source
EP,EP,,--discrete --size_tab {out} 8 {in} --lr_tab 0.1 0.2 --beta 0.1 --beta-sign both,ours
two digits,EP,wine,--discrete --size_tab {out} 4 {in},
"BPTT, energy",BPTT,,--training-method BPTT --size_tab {out} 8 {in} --batch-size 30 --Kmax 4,
skips,EP,,--network-type SW_no_intra --size_tab {out} 8 {in} --no-persistent --lr_tab 0.02,
BP,BP,,--discrete --training-method BP --size_tab {out} 8 {in} --lr_tab 0.1 0.2,
BrainProp,BrainProp,,--architecture dense --training-method BrainProp --size_tab {out} 8 {in},
wide,EP,,--discrete --size_tab {out} 8 {in} 3 --lr_tab 0.1 0.2,
"""
RUN = ["--action", "compare", "--epochs", 2, "--trials", 2, "--train-samples", 60]
RUN += ["--test-samples", 50, "--cosine-samples", 5]


class Here(Launcher):
    """Does runs in this process, one by one."""

    def __init__(self):
        super().__init__()
        self.under_way = {}

    def is_room(self):
        return not self.under_way

    def begin(self, call, name, task):
        self.under_way[name] = call(*task, alone=False)

    def ended(self):
        yield self.under_way.popitem()


@contextlib.contextmanager
def here(args):
    yield Here(), run_one, "in this process"


def compare(place, *words, text=CONTESTANTS):
    """A comparison of CONTESTANTS, or of this text; its folder."""
    place.mkdir(exist_ok=True)
    file = place / "contestants.csv"
    file.write_text(text)
    results = ["--results-dir", place / "results", "--contestants", file]
    commands.call(*RUN, *results, *words)
    (folder,) = (place / "results").glob("*/*/Runs-*")
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison, and what each run has seen: (epoch, samples) by its words."""
    seen, teach = {}, Epoch.teach

    def noting(self, k, x, target, draw):
        key = self.method, self.schedule.seed, id(self.net)
        seen.setdefault(key, []).append((self.schedule.epoch, x.flatten(1).clone()))
        kept.append(self.net)
        return teach(self, k, x, target, draw)

    kept = []  # so that no number stands for two networks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "launcher_of", here)
        patch.setattr(Epoch, "teach", noting)
        folder = compare(tmp_path_factory.mktemp("compared"))
    return folder, seen


def table_of(folder):
    return {row["contestant"]: row for row in read_rows(folder / "comparison.csv")}


def test_all_see_the_same_samples_in_the_same_order(compared):
    _, seen = compared
    for seed in (0, 1):
        orders = []
        for (_, own, _), batches in seen.items():
            if own == seed:
                assert [epoch for epoch, _ in batches] == sorted(epoch for epoch, _ in batches)
                orders.append(torch.cat([x for _, x in batches]).float())
        assert len(orders) == 5 and len(orders[0]) == 120
        assert all(torch.equal(order, orders[0]) for order in orders)
    other = next(torch.cat([x for _, x in b]) for (_, seed, _), b in seen.items() if seed != 1)
    assert not torch.equal(other.float(), orders[0])


def test_the_columns_are_means_over_the_seeds(compared):
    folder, _ = compared
    table, wanted = table_of(folder), {"test_error": [], "train_error": [], "seconds": []}
    for seed in (0, 1):
        run = folder / f"dataset=digits,contestant=EP,seed={seed}"
        metrics = read_rows(run / "metrics.csv")
        wanted["test_error"].append(float(metrics[-1]["test_error"]))
        wanted["train_error"].append(float(metrics[-1]["train_error"]))
        wanted["seconds"].append(sum(float(row["seconds"]) for row in metrics))
    for name, values in wanted.items():
        assert float(table["EP"][name]) == pytest.approx(np.mean(values), rel=1e-5)
        assert float(table["EP"][f"{name}_sd"]) == pytest.approx(np.std(values, ddof=1), rel=1e-2)
    assert table["EP"]["epochs"] == table["EP"]["n"] == "2"
    products = [
        float(row["products"])
        for seed in (0, 1)
        for row in read_rows(folder / f"dataset=digits,contestant=EP,seed={seed}" / "metrics.csv")
        if row["products"]
    ]
    assert float(table["EP"]["products"]) == pytest.approx(np.mean(products), rel=1e-5)
    assert float(table["EP"]["products"]) > float(table["BP"]["products"]) > 1
    assert float(table["EP"]["cosine_start"]) > 0.9 > float(table["BrainProp"]["cosine_start"])
    assert table["BP"]["cosine_start"] == table["BrainProp"]["sweeps"] == ""
    assert "two digits" not in table  # which is for another data set


def test_parameters_are_those_of_the_networks(compared):
    folder, _ = compared
    table = table_of(folder)
    dense = 64 * 8 + 8 * 10
    counted = {"EP": dense + 18, "BPTT, energy": dense + 18, "BP": dense + 18, "BrainProp": dense}
    assert {name: int(table[name]["parameters"]) for name in counted} == counted
    weights = read_checkpoint(folder / "dataset=digits,contestant=skips,seed=0" / "checkpoint.pt")
    state = weights["weights"]["EP"]
    links = sum(int((v != 0).sum()) for name, v in state.items() if name.startswith("weights"))
    assert int(table["skips"]["parameters"]) == links + 18 == dense + 18  # rewired, none added


def test_stored_values_follow_from_the_rule(compared):
    folder, _ = compared
    table = table_of(folder)
    stored = {name: int(row["stored_values"]) for name, row in table.items() if row["n"] != "0"}
    assert stored == {"EP": 54, "BPTT, energy": 90, "skips": 36, "BP": 18, "BrainProp": 18}


def test_what_fails_is_listed_with_its_reason_and_stops_nothing(compared):
    folder, _ = compared
    row, reason = table_of(folder)["wide"], "--size_tab 10 8 64 3 must end in 64"
    assert row["n"] == "0" and reason in row["failed"]
    text = (folder / "comparison.md").read_text()
    assert f"- wide on digits: failed: {reason}" in text and "| wide |" not in text


def test_the_epochs_to_an_error_are_counted_on_the_test_data(compared):
    folder, _ = compared
    write_comparison(folder, 0.0)
    assert table_of(folder)["EP"]["epochs_to_error"] == ""
    assert "never" in (folder / "comparison.md").read_text()
    write_comparison(folder, 100.0)
    row = table_of(folder)["EP"]
    assert (row["epochs_to_error"], row["reached"]) == ("1", "2")


def test_equal_seeds_give_equal_numbers_whatever_the_jobs(compared, tmp_path):
    """In two processes at a time, to the bit; then --resume has nothing left to do."""
    one, _ = compared
    commands.prepare_processes()
    title, *lines = CONTESTANTS.splitlines()
    few = [line for line in lines if line.startswith(("skips", "BrainProp"))]
    other = compare(tmp_path / "jobs", "--jobs", 2, text="\n".join([title, *few]))
    assert set(table_of(other)) == {"skips", "BrainProp"}
    for name, row in table_of(other).items():
        for column, value in row.items():
            if not column.startswith(("seconds", "epochs_to", "to_error", "reached")):
                assert table_of(one)[name][column] == value, (name, column)
    assert "4 runs in" in commands.call("--resume", other, "--jobs", 2)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A comparison over a noise in the states, which not all contestants can have."""
    text = CONTESTANTS + "linear,EP,,--discrete --size_tab {out} 8 {in} --nudge linear,\n"
    words = ["--sweep", "state_noise", 0, 0.05, 0.2, "--epochs", 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "launcher_of", here)
        return compare(tmp_path_factory.mktemp("noisy"), *words, text=text)


def test_who_cannot_have_what_is_swept_is_left_out_with_a_sentence(noisy):
    rows, values = read_rows(noisy / "comparison.csv"), {}
    for row in rows:
        values.setdefault(row["contestant"], []).append(row["state_noise"])
    assert values.pop("linear") == ["0"] and "BP" not in values
    assert set(values) == {"EP", "BPTT, energy", "skips", "BrainProp", "wide"}
    assert all(own == ["0", "0.05", "0.2"] for own in values.values())
    assert {row["contestant"] for row in rows if row["failed"]} == {"wide"}
    text = (noisy / "comparison.md").read_text()
    assert "- BP on digits: left out: --state-noise is not used by" in text
    assert "- linear on digits at 0.05: left out: --state-noise 0.05: --nudge linear is" in text
    assert "linear on digits at 0.2: left out" in (noisy / "comparison.html").read_text()


def test_all_may_refuse_what_is_swept(place, capfd):
    (place / "c.csv").write_text("name,rule,options\nBP,BP,--discrete --training-method BP\n")
    line = "--action compare --contestants c.csv --sweep state_noise 0 0.1"
    refuses(line, "--state-noise is not used by", capfd)


WRONG = {
    "name,rule,optoins\nEP,EP,--discrete\n": "a column 'optoins': did you mean options?",
    "name,options\nEP,--discrete\n": "has no column rule",
    "name,rule,options\n": "has no contestant",
    "": "has no column name",
    "name,rule,options\nEP,EP\n": "line 2 has fewer cells than columns",
    "name,rule,options\nEP,EP,--discrete,x\n": "line 2 has more cells than columns",
    "name,rule,options\n,EP,--discrete\n": "line 2 has no name",
    "name,rule,options\nEP,EP,--discret\n": "line 2 (EP): unrecognized arguments: --discret",
    "name,rule,options\nEP,EP,--epochs 3\n": "line 2 (EP): --epochs is not for a contestant",
    "name,rule,options\nEP,EP,--size_tab {n}\n": "{n} is no size of this data set",
    "name,rule,options\nEP,EP,--network-type MLFF\n": "with --persistent it does not see the same",
    "name,rule,options\nEP,EP,'\n": "its options cannot be taken apart",
    "name,rule,datasets,options\nEP,EP,minst,\n": "no data set 'minst': did you mean mnist or",
    "name,rule,datasets,options\nEP,EP,wine,\n": "is for the data set digits",
    "name,rule,options\nEP,EP,\nEP,EP,\n": "line 3: EP is there already for mnist, in line 2",
}


@pytest.mark.parametrize("text, reason", WRONG.items())
def test_a_wrong_file_of_contestants_is_a_sentence(text, reason, place, capfd):
    (place / "c.csv").write_text(text)
    refuses("--action compare --contestants c.csv", reason, capfd)


def test_other_mistakes_are_sentences(place, capfd):
    refuses("--action compare --contestants none.csv", "none.csv cannot be read", capfd)
    refuses("--action compare --datasets minst", "did you mean mnist or kmnist?", capfd)
    refuses("--action compare --size_tab 3 4", "--size_tab is not used by --action compare", capfd)
    refuses("--datasets mnist", "--datasets is not used by --action train", capfd)
    refuses(
        "--action compare --resume old",
        "old does not exist: give one that holds a hyperparameters.json",
        capfd,
    )
    (place / "old").mkdir()
    (place / "old" / "runs.json").write_text("[]")
    refuses("--action compare --resume old", "holds no comparison", capfd)
    line = "--action compare --resume old --trials 4"
    refuses(line, "--resume goes on with the planned runs: --trials cannot be changed", capfd)
    with pytest.raises(RunError, match="cannot be read as a comparison"):
        read_comparison(place)


@pytest.mark.figures
def test_the_figures_show_every_contestant_and_the_page_has_them(compared, saved):
    folder, _ = compared
    plotFunctions.plot_folder(folder)
    assert set(saved) == {"comparison_cost", "comparison_curves"}
    cost = saved["comparison_cost"].axes[0]
    names = [text.get_text() for text in cost.get_legend().get_texts()]
    assert names == ["1  EP", "2  BPTT, energy", "3  skips", "4  BP", "5  BrainProp"]
    assert cost.get_xscale() == "log" and len(cost.containers) == 5  # with error bars
    colours = [bars.lines[0].get_color() for bars in cost.containers]
    assert colours[0] == colours[2] and len(set(colours)) == 4  # one for each rule
    x, y = cost.containers[0].lines[0].get_xydata()[0]
    row = table_of(folder)["EP"]
    assert (x, y) == pytest.approx((float(row["products"]), float(row["test_error"])), rel=1e-4)
    titles = [axes.get_title() for axes in saved["comparison_curves"].axes[:5]]
    assert titles == names
    page = (folder / "comparison.html").read_text()
    assert page.count("<svg") == 2 and "http" not in page.replace("http://www.w3.org", "")
    assert "wide on digits" in page and "--size_tab 10 8 64 3 must end in 64" in page


@pytest.mark.figures
def test_noise_is_drawn_for_every_contestant_with_its_spread(noisy, saved):
    plotFunctions.plot_folder(noisy)
    assert set(saved) == {"comparison_swept"}
    axes = saved["comparison_swept"].axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["1  EP", "2  BPTT, energy", "3  skips", "4  BrainProp", "5  linear"]
    rows = read_rows(noisy / "comparison.csv")
    for name, bars in zip(names, axes.containers, strict=True):
        own = [row for row in rows if row["contestant"] == name[3:]]
        line, _, (spread,) = bars.lines
        assert line.get_ydata() == pytest.approx([float(r["test_error"]) for r in own], rel=1e-4)
        drawn = [(high - low) / 2 for (_, low), (_, high) in spread.get_segments()]
        assert drawn == pytest.approx([float(row["test_error_sd"]) for row in own], rel=1e-2)
    colours = [bars.lines[0].get_color() for bars in axes.containers]
    assert colours[0] == colours[2] == colours[4] and len(set(colours)) == 3  # one for each rule


def test_the_pages_of_the_docs_say_what_their_files_say():
    draw_referee = importlib.import_module("scripts.draw_referee")
    for page in draw_referee.PAGES:
        text = page.read_text(encoding="utf-8")
        assert draw_referee.redrawn(text) == text and "<!-- end -->" in text


def test_the_referees_own_file_is_right():
    """Every line of it is a command that this program takes, for every data set it is for."""
    contestants = read_contestants(FILE, NAMES)
    assert {one.rule for one in contestants} >= {"EP", "BPTT", "BrainProp", "backpropagation"}
    for one in contestants:
        for dataset in one.datasets or ("digits", "mnist"):
            n_in = {"digits": 64, "mnist": 784}.get(dataset, 784)
            words = one.words({"in": n_in, "out": 10, "channels": 1})
            commands.options(shlex.join(["--dataset", dataset, *words]))


def test_minutes_end_a_training_and_alone_say_how_long_it_is(tmp_path):
    words = ["--dataset", "digits", "--train-samples", 40, "--size_tab", 10, 4, 64, "--minutes"]
    commands.call(*words, 1e-6, "--results-dir", tmp_path, "--test-every", 5)
    rows = read_rows(commands.only_run(tmp_path) / "metrics.csv")
    assert len(rows) == 1 and rows[0]["test_error"]  # the last epoch is tested
    record = json.loads((commands.only_run(tmp_path) / "hyperparameters.json").read_text())
    assert record["options"]["minutes"] == 1e-6 and record["options"]["epochs"] == 100_000
