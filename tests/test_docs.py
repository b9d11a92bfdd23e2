"""What the pages say can be followed: links lead somewhere, commands parse, scripts are there."""

import ast
import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from commandLine import parse

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "results" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
WITH_PLACEHOLDERS = {  # commands about folders that a reader has and a test has not
    "--action evaluate --load results/.../checkpoint.pt",
    "--action evaluate --load results/.../checkpoint.pt --state-noise 0.1",
    "--action evaluate --load results/.../checkpoint.pt --export mine.safetensors",
    "--action evaluate --load mine.safetensors",
    "--resume results/.../Trial-1",
    "--resume results/.../Runs-1 --jobs 2",
    "--config results/.../hyperparameters.json",
    "--action report [FOLDER ...]",
    "...",
}

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).removesuffix(".md")
)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def links(page: Path) -> list[str]:
    """Where the links and images of a page lead."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """What a link may have after its #: the titles, as GitHub spells them there."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_in(page: Path) -> list[str]:
    """The words after main.py of every command that a page prints, in a block or in a line."""
    found = re.findall(r"`python main\.py ([^`]+)`", prose(page).replace("\n", " "))
    for block in blocks(page, "bash"):
        whole_lines = block.replace("\\\n", " ").splitlines()
        found += [line.split("main.py", 1)[1] for line in whole_lines if " main.py " in line]
    return [shlex.join(shlex.split(text, comments=True)) for text in found]


def status_of(words: list[str]) -> int:
    """How a command line ends when it is read: 0 if all is well, as also for --help."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            parse(words)
        except SystemExit as end:
            return end.code or 0
    return 0


COMMANDS = sorted({command for page in PAGES for command in commands_in(page)})
PLACEHOLDERS = {shlex.join(shlex.split(command)) for command in WITH_PLACEHOLDERS}


@each_page
def test_links_lead_to_files_and_titles_that_exist(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_and_every_figure_is_linked():
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)
    }
    for file in sorted(path for path in (ROOT / "docs").rglob("*") if path.is_file()):
        assert file in linked, f"{file.relative_to(ROOT)} is linked nowhere"


def test_the_readme_is_read_in_one_sitting():
    assert len(README.read_bytes()) <= 14336


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in PLACEHOLDERS])
def test_printed_commands_parse(command):
    assert status_of(shlex.split(command)) == 0


def test_printed_commands_are_found_and_wrong_ones_told():
    assert len(COMMANDS) > 25
    assert set(COMMANDS) >= PLACEHOLDERS, "a command listed here is printed no more"
    with contextlib.redirect_stderr(io.StringIO()):
        assert status_of(["--preset", "P-1h", "--no-such-option"]) == 2


@each_page
def test_presets_that_are_named_exist(page):
    for name in set(re.findall(r"--preset ([\w-]+)", page.read_text())):
        assert status_of(["--preset", name]) == 0, name


@each_page
def test_scripts_and_paths_that_are_named_exist(page):
    text = page.read_text()
    for name in set(re.findall(r"[\w-]+\.sh\b", text)):
        assert (ROOT / "scripts" / name).is_file(), name
    for path in set(re.findall(r"\b(?:scripts|benchmarks|tests)/[\w.-]*\w", text)):
        assert (ROOT / path).exists(), path


@each_page
def test_python_that_is_printed_imports_what_there_is(page):
    made = re.findall(r"^`([\w/]+)\.py`$", page.read_text(), re.M)  # by the page itself
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.replace(".", "/") not in made:
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, f"{node.module} has no {missing}"


def test_the_citation_names_the_program_and_five_papers():
    text = (ROOT / "CITATION.cff").read_text()
    top = dict(re.findall(r"^([\w-]+): *(.*)$", text, re.M))
    assert top["cff-version"] == "1.2.0"
    assert top.keys() >= {"message", "title", "type", "authors", "license", "references"}
    references = text[text.index("\nreferences:") :]
    assert len(re.findall(r"^  - type: (?:article|conference-paper)$", references, re.M)) == 5


def test_the_citation_is_yaml_with_all_that_a_reference_needs():
    yaml = pytest.importorskip("yaml", reason="PyYAML reads CITATION.cff")
    record = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert all("family-names" in person or "name" in person for person in record["authors"])
    for paper in record["references"]:
        assert paper["title"] and isinstance(paper["year"], int)
        assert all(person["family-names"] and person["given-names"] for person in paper["authors"])
        assert re.fullmatch(r"10\.\d{4,}/\S+", paper.get("doi", "10.0000/none"))
        assert paper.keys() & {"doi", "url", "identifiers"}, "where it can be found"


def test_the_changelog_begins_with_what_is_not_released():
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1] == "Unreleased"
