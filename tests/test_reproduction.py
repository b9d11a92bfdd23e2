"""The campaign over the papers' tables: what is a row, what is kept, what the page says."""

import csv
import os
from types import SimpleNamespace

import commands
import pytest

from report.experiments import Spread
from report.reader import read_results
from report.reproduction import Kept, Row, all_rows, rows_of, series_of
from report.reproductionPage import (
    BEGIN,
    END,
    PANELS,
    draw_paper,
    left,
    lines_of,
    page_of,
    verdict,
    what_is_left,
    write_short_table,
)
from runs.reproduce import commands_of, first_look, main
from systems.listing import times
from systems.papers import PaperResult

pytestmark = pytest.mark.long

ROW = Row("ernoult", "small", 2, "--dataset digits --size_tab 10 8 64 --epochs 2 --benchmark", "")
ROW = ROW._replace(options=f"{ROW.options} --T 4 --Kmax 2 --batch-size 500")


def own_rows(papers):
    return [ROW] if not papers or ROW.paper in papers else []


@pytest.fixture
def rows(monkeypatch):
    """One small row instead of the table."""
    monkeypatch.setattr("report.reproductionPage.rows_of", own_rows)
    monkeypatch.setattr("report.reproduction.all_rows", lambda: (ROW,))
    monkeypatch.setattr("runs.reproduce.rows_of", lambda papers: [ROW])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Seed 0 of the row in full, and an epoch of seed 1."""
    folder = tmp_path_factory.mktemp("results")
    words = [*ROW.words, "--results-dir", folder]
    commands.call(*words)
    commands.call(*words, "--seed", 1, "--epochs", 1)
    return folder


def test_every_row_is_a_training_of_its_paper():
    names = [row.name for row in all_rows()]
    assert len(set(names)) == len(names) and len({row.file for row in all_rows()}) == len(names)
    for row in all_rows():
        assert row.epochs >= 1 and row.seeds >= 1 and row.methods
        assert len(row.keys) == row.seeds * len(row.methods)
    published = [row for row in all_rows() if row.paper in ("ernoult", "gammell")]
    assert all(row.reported for row in published)


def test_what_is_kept_is_what_was_measured_and_reads_back(rows, results, tmp_path):
    kept = Kept.read(tmp_path / "kept")
    assert kept.missing(ROW) == ROW.keys
    entered = kept.enter(read_results([results]).runs, [ROW])
    assert sorted(entered) == sorted(ROW.keys)
    assert kept.missing(ROW) == [("small", "EP", 1), ("small", "BPTT", 1)]
    kept.write()
    again = Kept.read(tmp_path / "kept")
    assert again.runs == kept.runs and again.measures == kept.measures
    assert again.curves == {key: numbers_of(lines) for key, lines in kept.curves.items()}
    found = read_results([results]).runs
    whole = next(run for run in found if run.options["seed"] == 0)
    assert again.spread(ROW, "EP", "test_error").mean == whole.rows["EP"][-1]["test_error"]
    assert again.enter(found, [ROW]) == []  # nothing has come further
    before = {path.name: path.read_bytes() for path in kept.folder.iterdir()}
    again.write()
    assert before == {path.name: path.read_bytes() for path in kept.folder.iterdir()}


def test_a_run_of_the_row_as_it_is_takes_the_place_of_one_as_it_was(rows, results, tmp_path):
    kept, found = Kept.read(tmp_path), read_results([results]).runs
    kept.enter(found, [ROW])
    key = ("small", "EP", 0)
    kept.runs[key] |= {"options": "--dataset digits --beta 0.7", "epochs": 9, "seconds": 0.0}
    assert kept.enter(found, [ROW]) == [key]
    assert kept.runs[key]["epochs"] == 2 and kept.runs[key]["seconds"] > 0


def test_the_short_table_stands_between_its_marks_and_nowhere_else(rows, results, tmp_path):
    kept = Kept.read(tmp_path / "docs")
    kept.enter(read_results([results]).runs, [ROW])
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_short_table(kept, page)
        text = page.read_text()
        assert text.startswith(f"before\n{BEGIN}\n\n| paper") and text.endswith(f"{END}\nafter\n")
        assert "old" not in text and text.count("| small | EP ") == 1
        assert text.count("| ") < 60 and "| BPTT | test error |" in text
    page.write_text("no marks\n")
    write_short_table(kept, page)
    assert page.read_text() == "no marks\n"


def numbers_of(lines):
    return [{name: float(value) for name, value in line.items()} for line in lines]


def test_nothing_that_is_kept_names_a_place_of_the_machine(rows, results, tmp_path):
    kept = Kept.read(tmp_path)
    kept.enter(read_results([results]).runs, [ROW])
    kept.write()
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert texts and not any(str(results) in text for text in texts)


@pytest.mark.parametrize(
    "changed", [{"seed": 7}, {"epochs": 1}, {"beta": 0.3}, {"epochs": 3}, {"train_samples": 100}]
)
def test_a_run_of_other_options_is_not_of_the_row(results, changed):
    run = read_results([results]).runs[0]
    other = run._replace(options=run.options | changed)
    assert ROW.matches(other) == (changed in ({"seed": 7}, {"epochs": 1}))


def paper(value, std=""):
    return PaperResult("ernoult", "small", "EP", "test_error", 2, value, std, "%", "here", "seen")


@pytest.mark.parametrize(
    "reported, here, said",
    [
        (paper("2.00", "0.10"), Spread(2.19, float("nan"), 1, 1), "same"),
        (paper("2.00", "0.10"), Spread(2.21, float("nan"), 1, 1), "different (+0.21)"),
        (paper("2.00", "0.10"), Spread(2.21, 0.1, 5, 5), "same"),
        (paper("2.00"), Spread(1.5, float("nan"), 1, 1), "-0.5, no spread known"),
        (paper("2.00"), Spread(1.5, 0.2, 3, 3), "different (-0.5)"),
        (paper("not found"), Spread(1.5, 0.2, 3, 3), ""),
        (None, Spread(1.5, 0.2, 3, 3), ""),
    ],
)
def test_same_means_within_two_standard_deviations(reported, here, said):
    partial = "partial, 1 of 2 epochs"
    assert verdict(reported, here) == said
    assert verdict(reported, here, partial) == (f"{partial}: {said}" if said else partial)
    alone = verdict(reported, here, partial, judged=False)
    assert alone == (f"{partial}: {here.mean - reported.number:+.2g}" if said else partial)


def test_part_of_a_training_is_judged_beside_a_figure_after_as_many_epochs_only(
    rows, results, monkeypatch, tmp_path
):
    kept = Kept.read(tmp_path)
    kept.enter(read_results([results]).runs, [ROW])
    for run in kept.runs.values():
        run["finished"], run["epochs"] = False, 1
    said = {}
    for epoch in (None, 1, 2):
        reported = paper("9.99", "0.5")._replace(epoch=epoch)
        monkeypatch.setattr(Row, "reported", property(lambda row, one=reported: [one]))
        said[epoch] = lines_of(kept, ROW)[0].verdict
    assert said[1].startswith("partial, 1 of 2 epochs: different (")
    assert said[2] == said[None] and "different" not in said[None]
    for run in kept.runs.values():
        run["options"] += " --train-samples 100"
    assert "of some samples: " in lines_of(kept, ROW)[0].verdict
    assert "different" not in lines_of(kept, ROW)[0].verdict


def test_the_page_says_what_was_measured_and_what_is_left(rows, results, monkeypatch, tmp_path):
    kept = Kept.read(tmp_path)
    kept.enter(read_results([results]).runs, [ROW])
    monkeypatch.setattr(Row, "reported", property(lambda row: [paper("9.99", "0.5")]))
    first, *_ = lines_of(kept, ROW)
    assert first.here.known == 1 and first.verdict.startswith("different")
    page = page_of(kept)
    assert "| [small](reproduction/small.csv) | EP | test error | 9.99 ± 0.5 % |" in page
    assert f"{first.here.mean:.2f} %" in page
    assert "- small: 1 of 2 runs, about" in page and "0 of 1 rows" in page


def test_only_what_is_missing_is_run(rows, results, tmp_path):
    args = SimpleNamespace(jobs=2, data_dir="data", quick=False)
    kept = Kept.read(tmp_path)
    fresh = commands_of(ROW, kept, tmp_path / "none", args)[0]
    assert " ".join(map(str, fresh)).count("--seed 0 --trials 2 --jobs 2") == 1
    kept.enter(read_results([results]).runs, [ROW])
    (one,) = commands_of(ROW, kept, tmp_path / "none", args)
    assert one[one.index("--seed") + 1] == "1" and "--jobs" not in one
    for key in kept.runs:
        kept.runs[key]["finished"] = True
    assert commands_of(ROW, kept, tmp_path / "none", args) == []


def test_the_whole_way_from_a_command_to_the_page(rows, tmp_path, monkeypatch, capfd):
    """In processes of their own, a tenth of the row; the second call has nothing left to do."""
    small = ROW._replace(options=ROW.options.replace(" --benchmark", ""))
    monkeypatch.setattr("runs.reproduce.rows_of", lambda papers: [small])
    monkeypatch.setattr("report.reproduction.all_rows", lambda: (small,))
    words = ["--quick", "--results-dir", str(tmp_path)]
    assert main(words) == 0
    page = (tmp_path / "quick" / "reproduction.md").read_text()
    with (tmp_path / "quick" / "reproduction" / "runs.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["epochs"], line["asked"], line["finished"]) == ("1", "2", "False")
    assert "Core hours so far" in page
    before = sorted(os.listdir(tmp_path / "quick" / "small"))
    assert main(words) == 0
    assert sorted(os.listdir(tmp_path / "quick" / "small")) == before
    assert "main.py" not in capfd.readouterr().out.split("reproduction.md")[1]


def test_a_first_look_has_a_tenth_of_everything(results, tmp_path):
    whole = next(row for row in all_rows() if row.name == "P-2h")
    row = first_look(whole)
    assert row.first == "--epochs 5 --train-samples 6000 --test-samples 1000"
    assert (row.seeds, row.epochs, row.epochs_run) == (1, whole.epochs, 5)
    assert first_look(ROW).first == "--epochs 1"  # digits are few
    networks = next(row for row in all_rows() if row.name == "deep-xor")
    assert first_look(networks).epochs_run == networks.epochs / 10
    run = read_results([results]).runs[0]
    of_the_look = run._replace(options=run.options | {"train_samples": 6000, "epochs": 1})
    few = ROW._replace(first="--train-samples 6000 --epochs 1")
    assert few.matches(of_the_look) and not ROW.matches(of_the_look)
    kept = Kept.read(tmp_path)
    kept.enter([of_the_look], [few])
    assert kept.missing(few) == [("small", "EP", 1), ("small", "BPTT", 1)]
    assert len(kept.missing(ROW)) == 4  # it is not the row


def test_what_is_left_is_estimated_from_what_was_timed(rows, results, tmp_path):
    timed, kept = Kept.read(tmp_path / "timed"), Kept.read(tmp_path / "kept")
    timed.enter(read_results([results]).runs, [ROW])
    for run in timed.runs.values():
        run["seconds"] = 5.0 * run["epochs"]
    assert left(kept, ROW, timed) == (2, 2 * 2 * 2 * 5.0)  # seeds, methods, epochs
    assert left(timed, ROW, timed) == (1, 20.0 - 2 * 5.0)  # an epoch of seed 1 is done
    few = ROW._replace(first="--train-samples 100 --epochs 1")
    assert left(kept, few, timed) == (2, pytest.approx(2 * 2 * 5.0 / 10))
    assert left(kept, ROW, kept) == (2, 0.0)  # nobody knows
    preset = ROW._replace(options="--preset wine_5layer_mlff")
    seconds = times()["wine_5layer_mlff"].seconds
    assert left(kept, preset, kept) == (2, pytest.approx(2 * seconds))
    timed_conv = times()["brainprop-mnist-conv"]
    conv = next(row for row in all_rows() if row.name == "brainprop-mnist-conv")
    n, seconds = left(kept, conv, kept)  # both rules, and not 500 epochs: the paper's took 63
    assert (n, seconds) == (1, pytest.approx(2 * 63 * timed_conv.seconds / timed_conv.epochs))
    assert what_is_left(kept, [ROW], timed)[-1] == "- all: about 40 s on one core"


def test_rows_that_differ_in_one_value_have_a_table_and_a_panel_of_their_own(
    rows, results, monkeypatch, tmp_path
):
    swept = [ROW._replace(name=f"small, beta {value}") for value in ("0", "0.01", "0.1")]
    both = [ROW, *swept]
    assert {name: len(own) for name, own in series_of(both).items()} == {
        "small": 1,
        "small, beta": 3,
    }
    assert [row.place for row in both] == [None] + [("small, beta", v) for v in (0, 0.01, 0.1)]
    of_papers = "report.reproductionPage.rows_of"
    monkeypatch.setattr(of_papers, lambda papers: both if papers in ([], [ROW.paper]) else [])
    kept = Kept.read(tmp_path)
    kept.enter(read_results([results]).runs, [ROW])
    assert what_is_left(kept, both)[1].startswith("- small, beta: 6 of 6 runs, ")
    assert "### small" not in page_of(kept) and len(draw_paper(kept, "ernoult").axes) == PANELS
    for key in list(kept.runs):
        for row in (swept[0], swept[2]):
            for table in (kept.runs, kept.measures, kept.curves):
                table[row.name, *key[1:]] = table[key]
    page = page_of(kept)
    assert page.count("### small against beta") == 1 and "| small, beta" not in page
    lines = [line for line in page.splitlines() if "small_beta_" in line]
    begins = [line.split("]")[0] + line.split("|")[2] for line in lines]
    assert begins == ["| [0 EP ", "| [0 BPTT ", "| [0.1 EP ", "| [0.1 BPTT "]
    error = kept.spread(swept[0], "EP", "test_error").mean
    assert f"| {error:.2f} % |" in lines[0]
    panel = draw_paper(kept, "ernoult").axes[1]
    assert panel.get_xlabel() == "beta"
    solid = next(line for line in panel.lines if line.get_label() == "EP test")
    assert solid.get_xdata().tolist() == [0, 0.1]
    kept.curves.clear()  # no learning curve: the series has its panel all the same
    assert draw_paper(kept, "ernoult").axes[0].get_xlabel() == "beta"
    assert solid.get_ydata().tolist() == [error, error]


def test_a_paper_that_there_is_not_is_said_in_a_line(capsys):
    assert main(["ernoult", "ernault", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'ernault' is no paper: choose from ernoult" in said
    assert {row.paper for row in rows_of(["gammell"])} == {"gammell"}


@pytest.mark.parametrize("option", ["--docs", "--results-dir"])
def test_a_file_in_place_of_a_folder_is_said_before_anything_runs(option, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert main([option, str(tmp_path / "taken")]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and f"{option} " in said.err and "is a file" in said.err
    assert not said.out


def test_kept_files_that_are_damaged_are_said_in_a_line(tmp_path, capsys):
    (tmp_path / "reproduction").mkdir()
    (tmp_path / "reproduction" / "runs.csv").write_text("row,method\nx,EP\n")
    assert main(["--dry-run", "--docs", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
