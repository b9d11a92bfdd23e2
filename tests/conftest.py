"""One thread a test, no figures where nobody looks at them, and nothing twice that is the same."""

import copy
import os
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here or in a subprocess
os.environ["LANGUAGE"] = "C"  # argparse looks for no translations, in files, at every option
os.environ["COLUMNS"] = "100"  # of help and tables, whatever terminal the tests are started in

import commands  # noqa: E402
import pytest  # noqa: E402
import sklearn.datasets  # noqa: E402

import plotFunctions  # noqa: E402
from records import record  # noqa: E402


def pytest_collection_modifyitems(items):
    """The modules that take longest are begun first, so that no process ends long after others."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True, scope="session")
def undrawn():
    """The program draws nothing in this process, which takes most of the time of a short run.

    What looks at figures asks for them: a test by `@pytest.mark.figures`, a fixture that several
    tests share by `with commands.drawing():`.
    """
    with commands.drawing(False):
        yield


@pytest.fixture(autouse=True, scope="session")
def once():
    """In this process the digits are read from their text file, and git is asked, once."""
    digits = sklearn.datasets.load_digits()
    commit = record.source_commit()
    with (
        mock.patch("sklearn.datasets.load_digits", lambda: copy.deepcopy(digits)),
        mock.patch("records.record.source_commit", lambda: commit),
    ):
        yield


@pytest.fixture(autouse=True)
def figures_where_marked(request):
    """Figures, for a test that is marked."""
    with commands.drawing(request.node.get_closest_marker("figures") is not None):
        yield


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved, by their names; nothing is written, which takes the most time."""
    figures = {}

    def keep(figure, folder, name):
        figures[name] = figure
        return [folder / f"{name}.png"]

    monkeypatch.setattr(plotFunctions, "save", keep)
    return figures


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to run in, so that whatever is written there shows."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
