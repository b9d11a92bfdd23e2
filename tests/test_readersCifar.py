"""CIFAR, from small files written here in the published formats.

No network: what would be downloaded is asked of a stand-in.
"""

import hashlib
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from readerChecks import contents, error_of, random_images, write_binary

from readers.base import DOWNLOAD_TIMEOUT, Source
from readers.cifar import CIFAR, read_cifar

KINDS = tuple(CIFAR)


def published_class(kind):
    """torchvision's, which takes seconds to import, in the processes that have such a test."""
    from torchvision import datasets

    return getattr(datasets, kind)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """A network that fails at once; returns what was asked of it."""
    asked = []

    def fail(self):
        asked.append((type(self).__name__, socket.getdefaulttimeout()))
        print("chatter")
        (Path(self.root) / "half.tar.gz").write_bytes(b"half")
        raise RuntimeError("<urlopen error no route>")

    monkeypatch.setattr(published_class("CIFAR10"), "download", fail)
    return asked


def write_python(root, kind, monkeypatch, n=3):
    """The Python version, its checksums put in place of the published ones."""
    published = published_class(kind)
    folder, splits = root / published.base_folder, {}
    folder.mkdir(parents=True)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    key = "labels" if kind == "CIFAR10" else "fine_labels"
    for split, files in (("train", published.train_list), ("test", published.test_list)):
        parts, listed = [], []
        for seed, (name, _) in enumerate(files):
            x, y = random_images(n, CIFAR[kind].n_classes, seed)
            listed.append([name, write(name, {"data": x.reshape(n, -1), key: y.tolist()})])
            parts.append((x, y))
        monkeypatch.setattr(published, f"{split}_list", listed)
        splits[split] = [np.concatenate(part) for part in zip(*parts, strict=True)]
    names = {published.meta["key"]: [str(i) for i in range(CIFAR[kind].n_classes)]}
    checksum = write(published.meta["filename"], names)
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": checksum})
    return splits


def check_cifar(kind, read, expected):
    for split, (x, y) in zip(read[:2], (expected["train"], expected["test"]), strict=True):
        assert split.x.dtype == torch.uint8 and split.y.dtype == torch.int64
        assert split.n_classes == CIFAR[kind].n_classes and split.scale == 255.0
        np.testing.assert_array_equal(split.x, x)
        np.testing.assert_array_equal(split.y, y)
        data, target = split.batch(slice(0, 2))
        assert data.shape == (2, 3, 32, 32) and target.shape == (2, split.n_classes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", [False, True])
def test_binary_cifar(tmp_path, offline, kind, inside):
    expected = write_binary(tmp_path, kind)
    before = contents(tmp_path)
    data_dir = tmp_path / CIFAR[kind].folder if inside else tmp_path
    check_cifar(kind, read_cifar(kind, Source(data_dir)), expected)
    assert offline == [] and contents(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
def test_python_cifar(tmp_path, offline, monkeypatch, kind):
    expected = write_python(tmp_path, kind, monkeypatch)
    check_cifar(kind, read_cifar(kind, Source(tmp_path)), expected)
    assert offline == []


@pytest.mark.parametrize("kind", KINDS)
def test_binary_cifar_comes_first_for_nothing_is_unpickled(tmp_path, monkeypatch, kind):
    write_python(tmp_path, kind, monkeypatch, n=2)
    expected = write_binary(tmp_path, kind)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    check_cifar(kind, read_cifar(kind, Source(tmp_path)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_python_cifar_is_not_unpickled_unless_it_is_the_published_file(tmp_path, monkeypatch, kind):
    write_python(tmp_path, kind, monkeypatch)
    published = published_class(kind)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    names = [published.train_list[-1][0], published.test_list[0][0], published.meta["filename"]]
    for name in names:
        path = tmp_path / published.base_folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"!")
        message = error_of(read_cifar, kind, Source(tmp_path))
        assert str(path) in message and "checksum" in message and "--dataset digits" in message
        path.unlink()
        message = error_of(read_cifar, kind, Source(tmp_path))
        assert str(path) in message and "not there" in message
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:-1], lambda b: b + b"x", lambda b: b"<html>404</html>"]
)
def test_binary_cifar_cut_short_or_too_long(tmp_path, offline, kind, damage):
    write_binary(tmp_path, kind)
    path = tmp_path / CIFAR[kind].folder / CIFAR[kind].train[-1]
    path.write_bytes(damage(path.read_bytes()))
    message = error_of(read_cifar, kind, Source(tmp_path))
    assert str(path) in message and "bytes" in message and "--dataset digits" in message
    assert offline == []


@pytest.mark.parametrize("kind", KINDS)
def test_binary_cifar_with_a_wrong_label(tmp_path, kind):
    write_binary(tmp_path, kind)
    layout = CIFAR[kind]
    path = tmp_path / layout.folder / layout.test[0]
    content = bytearray(path.read_bytes())
    content[layout.label_bytes - 1] = layout.n_classes
    path.write_bytes(content)
    message = error_of(read_cifar, kind, Source(tmp_path))
    assert str(path) in message and f"label {layout.n_classes}" in message


@pytest.mark.parametrize("kind", KINDS)
def test_binary_cifar_with_a_file_missing(tmp_path, kind):
    write_binary(tmp_path, kind)
    path = tmp_path / CIFAR[kind].folder / CIFAR[kind].train[0]
    path.unlink()
    assert str(path) in error_of(read_cifar, kind, Source(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_missing_cifar_that_cannot_be_downloaded(tmp_path, offline, capfd, kind):
    root = tmp_path / "not" / "there"
    message = error_of(read_cifar, kind, Source(root))
    published = published_class(kind)
    for part in (str(root), "no route", published.base_folder, CIFAR[kind].folder, "digits"):
        assert part in message
    assert "urlopen" not in message
    assert offline == [(kind, DOWNLOAD_TIMEOUT)] and socket.getdefaulttimeout() is None
    assert contents(tmp_path) == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", KINDS)
def test_downloaded_cifar_is_moved_into_place(tmp_path, monkeypatch, kind):
    expected = write_python(tmp_path / "server", kind, monkeypatch)
    published = published_class(kind)

    def download(self):
        shutil.copytree(tmp_path / "server" / self.base_folder, Path(self.root) / self.base_folder)

    monkeypatch.setattr(published_class("CIFAR10"), "download", download)
    check_cifar(kind, read_cifar(kind, Source(tmp_path / "new")), expected)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [published.base_folder]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "server"]


def test_cifar_needs_a_folder(tmp_path):
    assert "--data-dir" in error_of(read_cifar, "CIFAR10", Source(None))
    (tmp_path / "file").write_text("")
    assert "is a file" in error_of(read_cifar, "CIFAR10", Source(tmp_path / "file"))
