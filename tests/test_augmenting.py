"""Data as people need them: normalised, augmented, and two more sets in torchvision's layout."""

import commands
import numpy as np
import pytest
import torch
from readerChecks import idx_bytes

from datasets import crop_and_flip, load_dataset, normalised
from parallel import Team


def test_normalised_inputs_have_mean_0_and_deviation_1():
    for name, axes in (("digits", (0, 2, 3)), ("wine", (0,))):
        data = normalised(load_dataset(name, None))
        x, _ = data.train.batch(slice(None), torch.float64)
        assert x.mean(axes).abs().max() < 1e-9
        assert (x.std(axes, correction=0) - 1).abs().max() < 1e-6
        y, _ = data.test.batch(slice(None), torch.float64)
        raw, _ = load_dataset(name, None).test.batch(slice(None), torch.float64)
        scale = data.train.std if name == "digits" else data.train.std.view(-1)
        assert torch.allclose(y * scale + data.train.mean.view(scale.shape), raw)


def test_what_never_changes_keeps_its_scale():
    data = load_dataset("and", None)
    data.train.x[:, 0] = 0.5
    x, _ = normalised(data).train.batch(slice(None), torch.float64)
    assert (x[:, 0] == 0).all()


def test_images_are_moved_and_mirrored():
    torch.manual_seed(0)
    x = torch.arange(12.0 * 20).view(1, 1, 12, 20).repeat(400, 2, 1, 1)
    moved = crop_and_flip(x)
    assert moved.shape == x.shape and moved.dtype == x.dtype
    found = set()
    for one in moved:
        row, column = divmod(int(one[0, 6, 10]), 20)
        mirrored = bool(one[0, 6, 10] > one[0, 6, 11])
        assert torch.equal(one[0], one[1])
        found.add((row - 6, column - (9 if mirrored else 10), mirrored))
    rows, columns, mirrors = zip(*found, strict=True)
    assert set(rows) == set(range(-4, 5)) and set(mirrors) == {True, False}
    assert set(columns) == set(range(-4, 5))
    assert moved.amin() >= 0 and moved.amax() <= 239  # the edge goes on, nothing is made up


def test_a_team_augments_as_one_process_does():
    x = torch.rand(5, 1, 8, 8)
    torch.manual_seed(1)
    whole = crop_and_flip(x)
    for rank in range(2):
        team = Team(rank, 2)
        (part,) = team.deal(x)
        torch.manual_seed(1)
        assert torch.equal(crop_and_flip(part, team), whole[team.rows])


WORDS = "--dataset digits --discrete --size_tab 10 8 64 --threads 1 --quiet --train-samples 100"


def test_runs_with_both_go_on_and_are_tested_as_they_were(tmp_path):
    words = f"{WORDS} --augment crop-flip --normalise --epochs 2"
    commands.call(*words.split(), "--results-dir", tmp_path / "whole")
    commands.call(*f"{words} --epochs 1".split(), "--results-dir", tmp_path / "part")
    whole, part = (commands.only_run(tmp_path / name) for name in ("whole", "part"))
    commands.call("--resume", part, "--epochs", 2)
    tables = [(folder / "metrics.csv").read_text().splitlines() for folder in (whole, part)]
    rows = [lines[-1].split(",") for lines in tables]
    assert rows[0][:5] == rows[1][:5]
    printed = commands.call("--action", "evaluate", "--load", whole / "checkpoint.pt")
    assert f"test error {float(rows[0][3]):.2f} %" in printed


@pytest.fixture
def kmnist(place):
    raw = place / "data" / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.RandomState(0)
    for prefix, n in (("train", 12), ("t10k", 6)):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            idx_bytes(random.randint(0, 256, (n, 28, 28)))
        )
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(random.randint(0, 10, n)))
    return place / "data"


def test_kmnist_is_read_from_its_own_folder(kmnist):
    data = load_dataset("kmnist", kmnist)
    assert data.shape == (1, 28, 28) and (len(data.train), len(data.test)) == (12, 6)


@pytest.fixture
def svhn(place):
    from scipy.io import savemat

    random = np.random.RandomState(0)
    for part, n in (("train", 14), ("test", 6)):
        images = random.randint(0, 256, (32, 32, 3, n)).astype(np.uint8)
        labels = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        savemat(place / f"{part}_32x32.mat", {"X": images, "y": labels})
    return place


def test_svhn_is_read_as_torchvision_reads_it(svhn):
    from scipy.io import loadmat

    data = load_dataset("svhn", svhn)
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (14, 6)
    assert data.train.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    stored = loadmat(svhn / "train_32x32.mat")["X"]
    assert np.array_equal(data.train.x[3].numpy(), stored[:, :, :, 3].transpose(2, 0, 1))


def test_damaged_svhn_files_are_named(svhn, capfd):
    (svhn / "test_32x32.mat").write_bytes(b"no such file")
    message = commands.fails(f"--dataset svhn --data-dir {svhn} --discrete", capfd)
    assert "test_32x32.mat cannot be used" in message


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--augment rotate", "invalid choice: 'rotate'"),
        ("--dataset wine --augment crop-flip --size_tab 3 8 13", "is for images, wine has none"),
        ("--augment crop-flip --persistent", "--persistent needs batches that never do"),
        ("--normalise --activation-function hardsigm", "cuts off what is below 0"),
        ("--action receipe --augment crop-flip", "--augment is not used by --action receipe"),
    ],
)
def test_wrong_uses_end_with_a_line(line, expected, capfd, place):
    message = commands.fails(f"--dataset digits {line}", capfd)
    assert expected in message
