"""The papers' figures: one table, which presets, pages and report agree with."""

import re
import subprocess
import sys

import commands
import pytest

from systems import PRESETS
from systems.papers import paper_results, results_of, sentence

SYSTEMS = {"ernoult", "gammell", "deep", "asymEP", "brainprop"}
WORDS = {"seen", "seen-quoted", "derived", "memory", "not found"}


def test_every_row_has_a_source_and_says_how_it_is_known():
    for row in paper_results():
        assert row.system in SYSTEMS and row.confirmed in WORDS and row.source and row.value, row
        assert row.is_marked is (row.confirmed in {"memory", "derived"})
        assert not row.std or row.number is not None, row


def test_no_figure_is_there_twice():
    rows = [row for row in paper_results() if row.metric != "note"]
    keys = [(row.system, row.experiment, row.method, row.metric, row.epoch) for row in rows]
    assert len(set(keys)) == len(keys)


def test_figures_are_read_as_printed():
    row = next(r for r in results_of("P-1h") if r.metric == "test_error" and r.method == "EP")
    assert (row.text, row.number, row.epoch) == ("2.00 ± 0.13 %", 2.0, 30)
    assert row.is_marked
    assert results_of("XOR")[0].number is None
    [learnt] = [r for r in results_of("AND, sparse") if r.metric == "sparsity"]
    assert learnt.figure == "93.75 %"


def test_a_sentence_names_source_epoch_and_what_is_not_confirmed():
    text = sentence(results_of("P-2h"), epochs=50)
    assert "after epoch 50: EP test error 1.95 ± 0.10 %" in text
    assert "BPTT test error 2.09 ± 0.12 %" in text and text.count("not confirmed") == 1
    late = sentence(results_of("mnist_5layer_swni"), epochs=100)
    assert "5.240 %" in late and "best test error 5.18 %" in late and "9.420" not in late
    assert sentence([]) == "no figure held here"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_figures_in_the_table(name):
    for experiment in PRESETS[name].paper:
        assert results_of(experiment), experiment
    assert PRESETS[name].reported


def test_figures_are_typed_nowhere_else():
    text = "".join(path.read_text() for path in (commands.ROOT / "systems").glob("*.py"))
    for row in paper_results():
        if row.std:
            assert f"{row.value} ± {row.std}" not in text


def test_no_table_and_no_torch_is_read_at_import():
    code = "import sys, systems; from systems.papers import paper_results; "
    code += "print(paper_results.cache_info().currsize, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=commands.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 False\n"


# Pages ---------------------------------------------------------------------------------------


def printed_tables():
    """Every table of README and docs: its titles, and its rows as dictionaries of cells."""
    pages = [commands.ROOT / "README.md", *sorted((commands.ROOT / "docs").glob("*.md"))]
    blocks = re.split(r"\n(?!\|)", "\n\n".join(page.read_text() for page in pages))
    for block in blocks:
        rows = [line for line in block.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
        if len(cells) > 2:
            yield cells[0], [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def is_near(printed: str, values: list[float]) -> bool:
    """The printed number is one of the values, rounded to its decimals."""
    decimals = len(printed.partition(".")[2])
    return any(abs(float(printed) - v) <= 0.5 * 10**-decimals + 1e-9 for v in values)


def known_numbers(experiments) -> list[float]:
    rows = results_of(*experiments) if experiments else paper_results()
    return [v for r in rows for v in (r.number, float(r.std) if r.std else None) if v is not None]


def experiments_in(label: str) -> tuple[str, ...]:
    """The experiments that the first cell of a row names: as a preset or as the paper does."""
    word = label.strip("`").split(",")[0].strip("`")
    return PRESETS[word].paper if word in PRESETS else ()


def test_the_pages_print_the_tables_figures():
    checked = 0
    for titles, rows in printed_tables():
        columns = [title for title in titles if re.search(r"\b(paper|authors)\b", title)]
        for row in rows:
            cells = [row[title] for title in columns]
            if row[titles[0]].startswith("the paper"):
                cells = list(row.values())
            values = known_numbers(experiments_in(row[titles[0]]))
            for printed in re.findall(r"\d+\.\d+", " ".join(cells)):
                assert is_near(printed, values), (row[titles[0]], printed)
                checked += 1
    assert checked > 40


def test_the_pages_mark_what_is_not_confirmed():
    [rows] = [rows for titles, rows in printed_tables() if "EP, paper" in titles]
    for row in rows:
        facts = results_of(*experiments_in(row["row"]))
        for method in ("EP", "BPTT"):
            cell = row[f"{method}, paper"]
            fact = next(f for f in facts if (f.method, f.metric) == (method, "test_error"))
            if cell:
                assert cell == f"{fact.value} ± {fact.std}" + " *" * (fact.is_marked)
