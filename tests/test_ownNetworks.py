"""--network: a class of the user's, as docs/own.md shows it, and what is wrong with others."""

import re
import shlex

import commands
import pytest

PAGE = (commands.ROOT / "docs" / "own.md").read_text()
BLOCKS = dict(re.findall(r"^`([\w.]+)`\n\n```python\n(.*?)^```", PAGE, re.M | re.S))
PRINTED = re.findall(r"^python main\.py (.*)$", PAGE, re.M)
NETWORKS = commands.ROOT / "tests" / "ownNetworks.py"
SMALL = "--size_tab 10 8 64 --dataset digits --batch-size 500 --T 4 --Kmax 2"


@pytest.fixture
def example(place, monkeypatch):
    """A folder with the files of the page."""
    for name, code in BLOCKS.items():
        (place / name).write_text(code)
    exec(BLOCKS["flowers.py"], {})
    return place


def test_the_page_is_followed(example, capfd):
    data, network, curves = PRINTED
    commands.call(*shlex.split(data), "--no-figures")
    [folder] = example.glob("results/ep_disc_1hidden_flowers/*/Trial-1")
    errors = [float(row.split(",")[3]) for row in (folder / "metrics.csv").read_text().split()[1:]]
    assert errors[-1] < 20
    commands.call(*shlex.split(network), "--train-samples", 300, "--epochs", 2, "--no-figures")
    [folder] = example.glob("results/Softsign_1hidden_digits/*/Trial-1")
    assert (folder / "network.py").read_text() == BLOCKS["softsign.py"]
    commands.call("--action", "evaluate", "--load", folder / "checkpoint.pt")
    (example / "softsign.py").write_text(BLOCKS["softsign.py"] + "\n# changed\n")
    capfd.readouterr()
    commands.call("--resume", folder, "--epochs", 3, "--no-figures")
    assert "has changed since the run began" in capfd.readouterr().err
    text = commands.call(*shlex.split(curves), "--no-figures")
    assert "free phase settled" in text and text.count("W0") == 1


def test_it_can_be_relaxed_if_it_says_how(place, capfd):
    words = f"--network {NETWORKS}:Plain {SMALL} --lr_tab 0.1 --no-figures".replace("--T 4", "")
    commands.call(*words.split(), "--solver", "relax")
    wrong = words.replace("Plain", "Unsettled")
    commands.refuses(f"{wrong} --solver relax", "gives no settled_layer", capfd)


WRONG = {
    "is not FILE.py:Class": "softsign",
    "there is no file": "nowhere.py:Softsign",
    "has no class Missing": f"{NETWORKS}:Missing",
    "is no subclass of EquilibriumNetwork": f"{NETWORKS}:NUMBER",
    "does not define initHidden, add_contrast, constants and wire": f"{NETWORKS}:Lazy",
    "cannot be made by CLASS(size_tab, dt=dt, seed=seed)": f"{NETWORKS}:Odd",
    "cannot be imported (SyntaxError": "broken.py:Softsign",
    "cannot be imported (ZeroDivisionError": "divides.py:Softsign",
}


@pytest.mark.parametrize("said", WRONG)
def test_wrong_networks_are_a_line(said, place, capfd):
    (place / "broken.py").write_text("class Softsign(\n")
    (place / "divides.py").write_text("1 / 0\n")
    commands.refuses(f"--network {WRONG[said]} {SMALL} --lr_tab 0.1", said, capfd)


@pytest.mark.parametrize(
    "more, said",
    [
        ("", "--lr_tab must be given"),
        ("--lr_tab 0.1 0.1 0.1", "--lr_tab has 3 values, this network has 2 synapse groups"),
        ("--lr_tab 0.1 --discrete", "--discrete is not used by the own network"),
        ("--training-method DEEP", "is not used by the directed network"),
    ],
)
def test_other_options_are_checked(more, said, place, capfd):
    commands.refuses(f"--network {NETWORKS}:Plain {SMALL} {more}", said, capfd)
