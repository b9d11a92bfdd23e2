"""docs/add-a-system.md, followed word for word: a sixth system in four files."""

import re
import shutil
import subprocess
import sys

import commands
import pytest

PAGE = commands.ROOT / "docs" / "add-a-system.md"
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", "results", "tests", "docs", "benchmarks", "data", "__pycache__", ".*_cache"
)
PROGRAM = """
import contextlib, io
from main import main
from pathlib import Path
words = "--training-method FA --dataset digits --n-hidden 32 --threads 1 --quiet".split()
assert main([*words, "--epochs", "2"]) == 0
[folder] = Path("results").glob("fa_32hidden_digits/*/Trial-1")
assert main(["--resume", str(folder), "--epochs", "10", "--quiet", "--no-figures"]) == 0
assert main(["--action", "evaluate", "--load", str(folder / "checkpoint.pt")]) == 0
assert main(["--action", "report"]) == 0
for line in ("--beta 1", "--discrete", "--action plotcurves", "--benchmark"):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main([*words, *line.split()])
            raise AssertionError(line)
        except SystemExit as end:
            assert end.code == 2 and said.getvalue().count("\\n") == 1
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the program with the system of the page in it."""
    place = tmp_path_factory.mktemp("copy") / "program"
    shutil.copytree(commands.ROOT, place, ignore=LEFT_BEHIND)
    text = PAGE.read_text()
    blocks = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", text, re.M | re.S))
    table = place / "systems" / "papers.csv"
    table.write_text(table.read_text() + blocks.pop("systems/papers.csv"))
    for name, code in blocks.items():
        assert not (place / name).exists()
        (place / name).write_text(code)
    index = place / "systems" / "__init__.py"
    changed = index.read_text().replace("    BRAINPROP,\n)", "    BRAINPROP,\n    ALIGNMENT,\n)")
    assert changed != index.read_text()
    imported = "from systems.alignment import ALIGNMENT\nfrom systems.base"
    index.write_text(changed.replace("from systems.base", imported, 1))
    assert set(blocks) == {"systems/alignment.py", "networks/alignment.py"}
    lines = [line for code in blocks.values() for line in code.splitlines() if line.strip()]
    assert len(lines) < 70  # code of under sixty lines, and two docstrings
    return place


def test_the_page_adds_a_system_that_trains_resumes_and_is_reported(extended):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=extended, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    errors = [float(e) for e in re.findall(r"test error +([\d.]+) %  loss", done.stdout)]
    assert len(errors) == 10 and errors[-1] < min(errors[0], 20)
    report = (extended / "results" / "report.md").read_text()
    assert "## Feedback alignment" in report and "fa_32hidden" in report
    sheet = (extended / "results" / "report.csv").read_text()
    assert "\nalignment," in sheet
