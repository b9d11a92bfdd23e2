"""MNIST and FashionMNIST: where the files are found, and what is said when they are not.

No network; one test reads the real MNIST if it is there.
"""

import gzip
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from readerChecks import contents, error_of, idx_bytes

from datasets import load_dataset
from readers.base import DOWNLOAD_TIMEOUT
from readers.mnist import IDX_FILES

REAL_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
N_TRAIN, N_TEST, SIDE = 30, 12, 28


def write_idx_set(raw, seed=0, packed=False):
    """A small set in torchvision's layout; returns its four arrays by file name."""
    random = np.random.RandomState(seed)
    arrays = {}
    for prefix, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        arrays[f"{prefix}-images-idx3-ubyte"] = random.randint(0, 256, (n, SIDE, SIDE))
        arrays[f"{prefix}-labels-idx1-ubyte"] = random.randint(0, 10, n)
    raw.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        if packed:
            (raw / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
        else:
            (raw / name).write_bytes(idx_bytes(values))
    return arrays


@pytest.fixture
def offline(monkeypatch):
    """A network that fails at once; returns what torchvision was asked for."""
    from torchvision import datasets

    asked = []

    def fail(self):
        asked.append((type(self).__name__, socket.getdefaulttimeout()))
        print("chatter on stdout")
        print("chatter on stderr", file=sys.stderr)
        Path(self.raw_folder).mkdir(parents=True)
        raise RuntimeError(
            "Error downloading train-images-idx3-ubyte.gz:\n"
            "Tried https://one.example/, got:\n<urlopen error no route>\n"
            "Tried https://two.example/, got:\n<urlopen error no route>\n"
        )

    monkeypatch.setattr(datasets.MNIST, "download", fail)
    return asked


@pytest.mark.parametrize("name, kind", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("deeper", ["", "{kind}", "{kind}/raw"])
def test_mnist_is_found_wherever_data_dir_points(tmp_path, offline, name, kind, packed, deeper):
    arrays = write_idx_set(tmp_path / kind / "raw", packed=packed)
    before = contents(tmp_path)
    data = load_dataset(name, tmp_path / deeper.format(kind=kind))
    assert data[:3] == (name, (1, SIDE, SIDE), 10)
    for part, prefix in ((data.train, "train"), (data.test, "t10k")):
        assert part.x.dtype == torch.uint8 and part.scale == 255
        np.testing.assert_array_equal(part.x[:, 0], arrays[f"{prefix}-images-idx3-ubyte"])
        np.testing.assert_array_equal(part.y, arrays[f"{prefix}-labels-idx1-ubyte"])
    assert offline == [] and contents(tmp_path) == before


def test_mnist_is_found_from_inside_and_from_home(tmp_path, offline, monkeypatch):
    write_idx_set(tmp_path / "MNIST" / "raw")
    monkeypatch.chdir(tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert torch.equal(load_dataset("mnist", ".").train.x, load_dataset("mnist", "~").train.x)
    assert offline == []


def test_plain_and_packed_files_may_be_mixed(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    arrays = write_idx_set(raw, packed=True)
    name = "train-labels-idx1-ubyte"
    (raw / f"{name}.gz").write_bytes(b"half a download")
    (raw / name).write_bytes(idx_bytes(arrays[name]))  # the plain file comes first
    np.testing.assert_array_equal(load_dataset("mnist", tmp_path).train.y, arrays[name])


def test_one_family_member_is_never_taken_for_the_other(tmp_path, offline):
    raw = tmp_path / "FashionMNIST" / "raw"
    write_idx_set(raw)
    assert str(raw / "MNIST" / "raw") in error_of(load_dataset, "mnist", raw)


def test_torchvision_reads_the_same(tmp_path):
    from torchvision import datasets

    write_idx_set(tmp_path / "MNIST" / "raw")
    data = load_dataset("mnist", tmp_path)
    for split, train in ((data.train, True), (data.test, False)):
        theirs = datasets.MNIST(tmp_path, train=train)
        assert torch.equal(split.x[:, 0], theirs.data) and torch.equal(split.y, theirs.targets)


@pytest.mark.parametrize("name, kind", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_missing_offline(tmp_path, offline, capfd, name, kind):
    message = error_of(load_dataset, name, tmp_path / "not" / "there")
    assert str(tmp_path / "not" / "there" / kind / "raw") in message
    assert message.count("no route") == 1 and "urlopen" not in message
    assert all(file in message for file in IDX_FILES) and "--dataset digits" in message
    assert offline == [(kind, DOWNLOAD_TIMEOUT)] and socket.getdefaulttimeout() is None
    assert contents(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_only_what_is_missing_is_asked_for(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw)
    (raw / IDX_FILES[2]).unlink()
    before = contents(tmp_path)
    message = error_of(load_dataset, "mnist", tmp_path)
    assert [file for file in IDX_FILES if file in message] == [IDX_FILES[2]]
    assert contents(tmp_path) == before


def test_download_is_moved_into_place(tmp_path, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(
        datasets.MNIST, "download", lambda self: write_idx_set(Path(self.raw_folder))
    )
    raw = tmp_path / "new" / "MNIST" / "raw"
    data = load_dataset("mnist", tmp_path / "new")
    assert len(data.train) == N_TRAIN
    assert [path for path in contents(tmp_path) if path.is_file()] == sorted(
        raw / n for n in IDX_FILES
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_download_keeps_the_files_that_are_there(tmp_path, monkeypatch):
    from torchvision import datasets

    raw = tmp_path / "MNIST" / "raw"
    mine = write_idx_set(raw, seed=1)
    (raw / IDX_FILES[1]).unlink()

    def download(self):
        write_idx_set(Path(self.raw_folder), seed=2)

    monkeypatch.setattr(datasets.MNIST, "download", download)
    data = load_dataset("mnist", tmp_path)
    np.testing.assert_array_equal(data.train.x[:, 0], mine[IDX_FILES[0]])


@pytest.mark.parametrize("error", [OSError(28, "No space left"), TimeoutError("timed out")])
def test_download_that_breaks_off(tmp_path, monkeypatch, error):
    from torchvision import datasets

    def break_off(self):
        write_idx_set(Path(self.raw_folder))
        raise error

    monkeypatch.setattr(datasets.MNIST, "download", break_off)
    assert str(error) in error_of(load_dataset, "mnist", tmp_path / "new")
    assert contents(tmp_path) == []


def cut_short(content):
    return content[: len(content) // 2]


def header_only(content):
    return content[:16]


def wrong_magic(content):
    return b"\x12\x34\x56\x78" + content[4:]


def wrong_type(content):
    return content[:2] + b"\x0d" + content[3:]  # the code for 32-bit floats


DAMAGE = [
    cut_short,
    header_only,
    wrong_magic,
    wrong_type,
    lambda content: b"",
    lambda content: content + b"more",
    lambda content: b"<html>404 not found</html>",
]


@pytest.mark.parametrize("file", IDX_FILES)
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_idx_file_is_named(tmp_path, offline, file, damage, packed):
    raw = tmp_path / "MNIST" / "raw"
    content = idx_bytes(write_idx_set(raw, packed=packed)[file])
    path = raw / (f"{file}.gz" if packed else file)
    path.write_bytes(gzip.compress(damage(content)) if packed else damage(content))
    message = error_of(load_dataset, "mnist", tmp_path)
    assert str(path) in message and "--dataset digits" in message
    assert offline == []


@pytest.mark.parametrize("damage", [cut_short, wrong_magic, lambda content: b"not packed"])
def test_damaged_gz_file_is_named(tmp_path, offline, damage):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw, packed=True)
    path = raw / f"{IDX_FILES[0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    message = error_of(load_dataset, "mnist", tmp_path)
    assert str(path) in message and "--dataset digits" in message


def test_labels_must_be_as_many_as_images(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw)
    (raw / IDX_FILES[3]).write_bytes(idx_bytes(np.zeros(N_TEST - 1)))
    message = error_of(load_dataset, "mnist", tmp_path)
    assert str(raw / IDX_FILES[3]) in message
    assert f"{N_TEST - 1} labels" in message and f"{N_TEST} images" in message


def test_label_out_of_range(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    labels = write_idx_set(raw)[IDX_FILES[1]]
    labels[7] = 10
    (raw / IDX_FILES[1]).write_bytes(idx_bytes(labels))
    message = error_of(load_dataset, "mnist", tmp_path)
    assert str(raw / IDX_FILES[1]) in message and "label 10" in message


def test_images_of_two_sizes(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw)
    (raw / IDX_FILES[2]).write_bytes(idx_bytes(np.zeros((N_TEST, 14, 20))))
    message = error_of(load_dataset, "mnist", tmp_path)
    assert "28x28" in message and "14x20" in message


def test_real_mnist():
    raw = REAL_DATA / "MNIST" / "raw"
    if not all((raw / name).is_file() for name in IDX_FILES):
        pytest.skip(f"looked for the four MNIST files in {raw}")
    data = load_dataset("mnist", REAL_DATA)
    assert data.train.x.shape == (60000, 1, 28, 28) and data.test.x.shape == (10000, 1, 28, 28)
    assert data.train.y[:6].tolist() == [5, 0, 4, 1, 9, 2]
    assert data.train.y.bincount().tolist()[:3] == [5923, 6742, 5958]
    mean = data.train.x.sum(dtype=torch.int64).item() / data.train.x.numel() / data.train.scale
    assert mean == pytest.approx(0.1307, abs=5e-5)
