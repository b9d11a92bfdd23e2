"""Tiny ImageNet, from small files written here in the published format.

No network: what would be downloaded is asked of a stand-in.
"""

import shutil
import socket
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from readerChecks import contents, error_of

from readers.base import DOWNLOAD_TIMEOUT, Source
from readers.tinyImagenet import TINY, TINY_MD5, TINY_URL, read_tiny_imagenet

DOWNLOAD = "torchvision.datasets.utils.download_url"
WNIDS = ("n02", "n01", "n03")  # not in alphabetical order
SIDE = 8
PER_CLASS = 2
N_TEST = 4


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """A network that fails at once; returns what was asked of it."""
    asked = []

    def fail(url, root, filename=None, md5=None):
        asked.append((url, md5, socket.getdefaulttimeout()))
        (Path(root) / filename).write_bytes(b"half")
        raise OSError("no route")

    monkeypatch.setattr(DOWNLOAD, fail)
    return asked


def write_jpeg(path, value, mode="RGB"):
    """A JPEG of one grey value, which survives the compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value,) * 3
    Image.new(mode, (SIDE, SIDE), colour).save(path, "JPEG", quality=95)


def train_image(label, i):
    return f"train/{WNIDS[label]}/images/{WNIDS[label]}_{i}.JPEG"


@pytest.fixture
def tiny(tmp_path):
    """The folder of a small set: image i of class k has the value 10 k + i, of val 100 + i."""
    folder = tmp_path / TINY
    for label in range(len(WNIDS)):
        for i in range(PER_CLASS):
            write_jpeg(folder / train_image(label, i), 10 * label + i)
        boxes = folder / "train" / WNIDS[label] / f"{WNIDS[label]}_boxes.txt"
        boxes.write_text("not read\n")
    lines = []
    for i in range(N_TEST):
        write_jpeg(folder / f"val/images/val_{i}.JPEG", 100 + i)
        lines.append(f"val_{i}.JPEG\t{WNIDS[i % 3]}\t0\t0\t7\t7\n")
    (folder / "wnids.txt").write_text("".join(f"{name}\n" for name in WNIDS))
    (folder / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (folder / "test" / "images").mkdir(parents=True)
    return folder


def check_tiny(read):
    train, test, _ = read
    assert train.n_classes == test.n_classes == len(WNIDS) and train.scale == 255.0
    assert train.x.dtype == test.x.dtype == torch.uint8
    assert train.x.shape == (6, 3, SIDE, SIDE) and test.x.shape == (4, 3, SIDE, SIDE)
    assert train.y.tolist() == [0, 0, 1, 1, 2, 2] and test.y.tolist() == [0, 1, 2, 0]
    values = torch.tensor([0, 1, 10, 11, 20, 21]), torch.tensor([100, 101, 102, 103])
    for split, value in zip((train, test), values, strict=True):
        assert (split.x == value[:, None, None, None]).all()


def pack(folder, **options):
    """The folder as the published zip, beside it; the folder is removed."""
    archive = folder.with_name(f"{TINY}.zip")
    with zipfile.ZipFile(archive, "w", **options) as packed:
        for path in contents(folder):
            packed.write(path, Path(TINY) / path.relative_to(folder))
    shutil.rmtree(folder)
    return archive


@pytest.mark.parametrize("inside", [False, True])
def test_tiny_from_the_folder(tiny, offline, capfd, inside):
    check_tiny(read_tiny_imagenet(Source(tiny if inside else tiny.parent)))
    assert offline == []
    assert (tiny.parent / f"{TINY}.pt").is_file()
    out, err = capfd.readouterr()
    assert out == "" and "10 images" in err and "GB of memory" in err and err.count("\n") == 1


def test_tiny_from_the_zip_then_from_the_cache(tiny, offline, monkeypatch):
    archive = pack(tiny, compression=zipfile.ZIP_DEFLATED)
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))
    names = sorted(path.name for path in tiny.parent.iterdir())
    assert names == [TINY, f"{TINY}.pt", f"{TINY}.zip"]
    assert not (tiny / "test").exists()  # its labels are secret: not unpacked
    shutil.rmtree(tiny)
    archive.unlink()
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))
    assert offline == []


def test_tiny_cache_is_not_unpickled(tiny):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    cache = tiny.parent / f"{TINY}.pt"
    torch.save({"x": Evil()}, cache)
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))


def good_cache():
    x = torch.zeros(5, 3, SIDE, SIDE, dtype=torch.uint8)
    return {"x": x, "y": torch.tensor([0, 1, 2, 0, 1]), "n_train": 3, "n_classes": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"y": torch.tensor([0, 1, 2, 0])},
        {"y": torch.tensor([0, 1, 2, 0, 3])},
        {"y": torch.tensor([0, 1, 2, 0, -1])},
        {"x": torch.zeros(5, 3, SIDE, SIDE)},
        {"x": torch.zeros(5, SIDE, SIDE, dtype=torch.uint8)},
        {"x": "text"},
        {"n_train": 5},
        {"n_train": 0},
        {"more": 1},
        None,
        b"",
        b"not a tensor file",
    ],
)
def test_tiny_with_a_broken_cache(tiny, capfd, change):
    cache = tiny.parent / f"{TINY}.pt"
    if isinstance(change, bytes):
        cache.write_bytes(change)
    else:
        torch.save([] if change is None else {**good_cache(), **change}, cache)
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))
    assert f"{cache} is broken" in capfd.readouterr().err
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))  # it was written anew
    assert "is broken" not in capfd.readouterr().err


def test_tiny_with_a_cache_cut_short(tiny, capfd):
    read_tiny_imagenet(Source(tiny.parent))
    cache = tiny.parent / f"{TINY}.pt"
    cache.write_bytes(cache.read_bytes()[:-50])
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))
    assert "is broken" in capfd.readouterr().err


def test_tiny_whose_cache_cannot_be_written(tiny, monkeypatch, capfd):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))
    assert "cannot be kept" in capfd.readouterr().err
    assert [path.name for path in tiny.parent.iterdir()] == [TINY]


def test_tiny_grey_images_become_colour(tiny):
    write_jpeg(tiny / train_image(1, 0), 10, mode="L")
    write_jpeg(tiny / "val/images/val_2.JPEG", 102, mode="L")
    check_tiny(read_tiny_imagenet(Source(tiny.parent)))


@pytest.mark.parametrize("name", [train_image(2, 1), "val/images/val_3.JPEG"])
@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"text"])
def test_tiny_with_a_damaged_image(tiny, name, damage):
    path = tiny / name
    path.write_bytes(damage(path.read_bytes()))
    assert str(path) in error_of(read_tiny_imagenet, Source(tiny.parent))
    assert not (tiny.parent / f"{TINY}.pt").exists()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("val_1.JPEG\tn01\t0\t0\t7\t7\n", "", "val_1.JPEG has no line"),
        ("val_1.JPEG\tn01", "val_1.JPEG\tn99", "names no class"),
        ("val_1.JPEG\tn01\t", "val_1.JPEG\n", "names no class"),
        ("val_1.JPEG", "val_9.JPEG", "val_1.JPEG has no line"),
        ("val_1.JPEG", "val_2.JPEG", "val_2.JPEG has two lines"),
    ],
)
def test_tiny_with_wrong_annotations(tiny, old, new, reason):
    path = tiny / "val" / "val_annotations.txt"
    edit(path, old, new)
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert str(path) in message and reason in message and "--dataset digits" in message


def test_tiny_with_an_image_of_val_missing(tiny):
    (tiny / "val/images/val_1.JPEG").unlink()
    assert "val_1.JPEG has no image" in error_of(read_tiny_imagenet, Source(tiny.parent))


def test_tiny_with_a_class_without_images(tiny):
    shutil.rmtree(tiny / "train" / "n01" / "images")
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert str(tiny / "train" / "n01" / "images") in message


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_tiny_with_a_list_missing_empty_or_no_text(tiny, name, content):
    path = tiny / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert str(path) in error_of(read_tiny_imagenet, Source(tiny.parent))


def test_tiny_with_a_class_named_twice(tiny):
    edit(tiny / "wnids.txt", "n03", "n01")
    assert "2 of them different" in error_of(read_tiny_imagenet, Source(tiny.parent))


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"<html>404 not found</html>"]
)
def test_tiny_with_a_broken_zip(tiny, offline, damage):
    archive = pack(tiny)
    archive.write_bytes(damage(archive.read_bytes()))
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert str(archive) in message and "not a zip" in message
    assert contents(tiny.parent) == [archive] and offline == []


def test_tiny_with_a_zip_whose_content_was_altered(tiny):
    archive = pack(tiny)
    content = archive.read_bytes()
    assert b"n02\nn01" in content
    archive.write_bytes(content.replace(b"n02\nn01", b"n02\nn09"))
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert str(archive) in message and contents(tiny.parent) == [archive]


@pytest.mark.parametrize(
    "name", [f"{TINY}/train/../../../out.txt", "/etc/out.txt", "..\\out.txt", "C:\\out.txt"]
)
def test_tiny_zip_never_writes_outside(tiny, name):
    archive = pack(tiny)
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "out")
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert "leads out of it" in message and contents(tiny.parent) == [archive]
    assert not list(tiny.parent.parent.glob("out.txt"))


def test_tiny_zip_of_something_else(tmp_path):
    archive = tmp_path / f"{TINY}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("notes.txt", "nothing")
    assert f"{TINY}/train" in error_of(read_tiny_imagenet, Source(tmp_path))


def test_tiny_zip_larger_than_the_disk(tiny, monkeypatch):
    archive = pack(tiny)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    message = error_of(read_tiny_imagenet, Source(tiny.parent))
    assert "GB are free" in message and contents(tiny.parent) == [archive]


def test_missing_tiny_that_cannot_be_downloaded(tmp_path, offline):
    root = tmp_path / "not" / "there"
    message = error_of(read_tiny_imagenet, Source(root))
    for part in (str(root), TINY_URL, "no route", f"{TINY}.zip", "--dataset digits"):
        assert part in message
    assert offline == [(TINY_URL, TINY_MD5, DOWNLOAD_TIMEOUT)]
    assert contents(tmp_path) == [] and socket.getdefaulttimeout() is None


def test_downloaded_tiny_is_unpacked_and_kept(tiny, tmp_path, monkeypatch):
    content = pack(tiny).read_bytes()
    monkeypatch.setattr(
        DOWNLOAD,
        lambda url, root, filename, md5: (Path(root) / filename).write_bytes(content),
    )
    root = tmp_path / "new"
    check_tiny(read_tiny_imagenet(Source(root)))
    names = sorted(path.name for path in root.iterdir())
    assert names == [TINY, f"{TINY}.pt", f"{TINY}.zip"]
