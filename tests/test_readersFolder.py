"""Folders of images: what counts, how it is split, what is refused and what is said about it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from readerChecks import error_of

from datasets import load_dataset
from main import main
from readers.folder import SUFFIXES, find_classes, first_of


def write_image(path, colour, size=(6, 4), mode="RGB"):
    """A PNG of one colour; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def write_image_folder(root, counts, **image):
    """A folder per class; the colour (class, number, 100) tells every image from the others."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            write_image(root / name / f"{i:02d}.png", (label, i, 100), **image)


def cut_short(content):
    return content[: len(content) // 2]


def wrong_start(content):
    return b"\x12\x34\x56\x78" + content[4:]


def test_folder_is_split_the_same_way_every_time(tmp_path):
    write_image_folder(tmp_path, {"cat": 10, "ant": 15, "bee": 5})
    data, again = load_dataset("folder", tmp_path), load_dataset("folder", tmp_path)
    assert data[:3] == ("folder", (3, 4, 6), 3)
    assert (len(data.train), len(data.test)) == (24, 6)
    assert data.test.y.bincount().tolist() == [3, 1, 2]  # ant, bee, cat
    assert torch.equal(data.test.x, again.test.x) and torch.equal(data.train.y, again.train.y)
    seen = {
        tuple(pixel) for part in (data.train, data.test) for pixel in part.x[:, :, 0, 0].tolist()
    }
    assert len(seen) == 30  # every image once


def test_folder_keeps_image_and_class_together(tmp_path):
    for name, colour in {"a": (200, 0, 0), "b": (0, 200, 0)}.items():
        for i in range(5):
            write_image(tmp_path / name / f"{i}.png", colour)
    data = load_dataset("folder", tmp_path)
    for part in (data.train, data.test):
        assert part.x.dtype == torch.uint8
        for x, label in zip(part.x, part.y.tolist(), strict=True):
            expected = torch.tensor([200, 0, 0] if label == 0 else [0, 200, 0])
            assert torch.equal(x, expected[:, None, None].expand(3, 4, 6).to(torch.uint8))


def test_folder_with_train_and_test(tmp_path):
    write_image_folder(tmp_path / "train", {"a": 3, "b": 4}, size=(5, 7))
    write_image_folder(tmp_path / "test", {"a": 1, "b": 2}, size=(9, 9))
    data = load_dataset("folder", tmp_path)
    assert data.shape == (3, 7, 5)  # of the first training image
    assert data.train.y.tolist() == [0] * 3 + [1] * 4 and data.test.y.tolist() == [0, 1, 1]
    assert data.test.x[:, :, 0, 0].tolist() == [[0, 0, 100], [1, 0, 100], [1, 1, 100]]


def test_folder_size_is_that_of_the_first_image(tmp_path):
    write_image_folder(tmp_path, {"a": 6, "b": 6})
    write_image(tmp_path / "a" / "00.png", (0, 0, 0), size=(3, 8))
    assert load_dataset("folder", tmp_path).shape == (3, 8, 3)


@pytest.mark.parametrize("grey, channels", [(True, 1), (False, 3), (None, 3)])
def test_folder_grey_colour_and_size(tmp_path, grey, channels):
    write_image_folder(tmp_path, {"a": 3, "b": 3})
    write_image(tmp_path / "a" / "grey.png", 77, mode="L")
    write_image(tmp_path / "b" / "alpha.png", (9, 9, 9, 255), mode="RGBA")
    data = load_dataset("folder", tmp_path, image_size=5, grey=grey)
    assert data.shape == (channels, 5, 5)
    assert data.train.x.shape[1:] == data.test.x.shape[1:] == (channels, 5, 5)
    both = torch.cat([data.train.x, data.test.x])
    assert (both == 77).all(dim=(1, 2, 3)).sum() == 1


def test_folder_resizing_keeps_the_picture(tmp_path):
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, 4:] = 240  # dark on the left, bright on the right
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    x = load_dataset("folder", tmp_path, image_size=4, grey=True).train.x[0, 0]
    assert (x[:, 0] == 0).all() and (x[:, 3] == 240).all()


def write_numbers(root, suffix, values, dtype):
    """Two images of each value, in a class of their own."""
    for name, value in values.items():
        (root / name).mkdir()
        for i in range(2):
            Image.fromarray(np.full((2, 2), value, dtype)).save(root / name / f"{i}{suffix}")


@pytest.mark.parametrize(
    "suffix, dtype",
    [(".png", np.uint16), (".tif", np.uint16), (".tif", ">u2"), (".pgm", np.int32)],
)
def test_folder_scales_16_bit_images(tmp_path, suffix, dtype):
    write_numbers(tmp_path, suffix, {"a": 0x2000, "b": 0xC000}, dtype)
    data = load_dataset("folder", tmp_path, grey=True)
    assert data.train.x[data.train.y.argsort()][:, 0, 0, 0].tolist() == [0x20, 0xC0]


@pytest.mark.parametrize("dtype, kind", [(np.float32, "real"), (np.int32, "32-bit")])
@pytest.mark.parametrize("grey", [True, False])
def test_folder_refuses_pixels_without_a_scale(tmp_path, dtype, kind, grey):
    write_numbers(tmp_path, ".tif", {"a": 0, "b": 1}, dtype)
    message = error_of(load_dataset, "folder", tmp_path, grey=grey)
    assert str(tmp_path / "a" / "0.tif") in message and kind in message and "16 bits" in message


# ------------------------------------------------------------------------- what counts as an image


def test_folder_reads_gifs_and_of_animations_the_first_frame(tmp_path):
    red, blue = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    write_image_folder(tmp_path, {"a": 2, "b": 2}, size=(4, 4))
    red.save(tmp_path / "a" / "still.gif")
    red.save(tmp_path / "b" / "moving.GIF", save_all=True, append_images=[blue, red])
    data = load_dataset("folder", tmp_path)
    both = torch.cat([data.train.x, data.test.x])
    assert len(both) == 6 and (both == torch.tensor([255, 0, 0])[:, None, None]).all(1).sum() == 32
    assert "of several pages: 1" in data.note and "left out" not in data.note


def test_folder_lists_images_as_torchvision_does(tmp_path):
    from torchvision.datasets import ImageFolder

    for path in ("b/z.png", "b/deep/a.PNG", "b/deep/er/q.jpg", "b/Deep/c.webp", "B/2.bmp"):
        write_image(tmp_path / path, (9, 9, 9))
    for path in ("B/10.png", "B/1.jpeg", "ä/y.tiff", "ä/x.Tif"):
        write_image(tmp_path / path, (9, 9, 9))
    (tmp_path / "b" / "deep" / "notes.txt").write_text("no picture")
    (tmp_path / "beside.png").write_bytes(b"")
    theirs, found = ImageFolder(tmp_path), find_classes(tmp_path)
    assert (found.classes, found.samples) == (theirs.classes, theirs.samples)
    left_out = [Path(path).relative_to(tmp_path).as_posix() for path in found.left_out]
    assert left_out == ["beside.png", "b/deep/notes.txt"]


def test_every_suffix_of_torchvision_counts():
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert set(IMG_EXTENSIONS) | {".gif"} == set(SUFFIXES)


def test_folder_that_may_not_be_read_is_not_left_out(tmp_path, monkeypatch):
    write_image_folder(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "b" / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = error_of(load_dataset, "folder", tmp_path)
    assert "Permission denied" in message and "locked" in message


# -------------------------------------------------------------------------------- what people read


def test_note_on_a_folder(tmp_path):
    write_image_folder(tmp_path, {"cat": 10, "ant": 15})
    for i in range(5):
        (tmp_path / "cat" / f"{i}.heic").write_bytes(b"")
    data = load_dataset("folder", tmp_path)
    assert data.note == (
        f"{tmp_path}: 2 classes (ant 15, cat 10), 20 images for training and 5 for testing,"
        " 6x4 pixels in colour; left out: cat/0.heic, cat/1.heic, cat/2.heic and 2 more"
    )


def test_note_on_train_and_test(tmp_path):
    write_image_folder(tmp_path / "train", {f"c{i:02d}": 2 for i in range(12)})
    write_image_folder(tmp_path / "test", {f"c{i:02d}": 1 for i in range(12)})
    write_image_folder(tmp_path / "val", {"c00": 3})
    (tmp_path / "labels.csv").write_text("")
    note = load_dataset("folder", tmp_path, image_size=3, grey=True).note
    assert "12 classes (c00 3, " in note and "c09 3 and 2 more)" in note
    assert "24 images for training and 12 for testing, 3x3 pixels in grey" in note
    assert note.endswith("left out: labels.csv, val")


def test_note_is_one_line_that_can_be_printed(tmp_path):
    write_image_folder(tmp_path, {"a\nb": 2, "c": 2})
    note = load_dataset("folder", tmp_path).note
    assert note.isprintable() and r"a\nb 2" in note
    assert first_of([os.fsdecode(b"\xff.txt")], 1).isprintable()  # as file systems may have them


def test_note_is_printed_at_the_start(tmp_path, capfd):
    write_image_folder(tmp_path / "pictures", {"a": 3, "b": 3})
    words = "--action receipe --T 3 --Kmax 2 --batches 1 --batch-size 2 --dataset folder --quiet"
    places = ["--data-dir", tmp_path / "pictures", "--results-dir", tmp_path / "results"]
    assert main([*words.split(), *map(str, places)]) == 0
    first = capfd.readouterr().out.splitlines()[0]
    assert first == load_dataset("folder", tmp_path / "pictures").note


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("content", [b"", b"not an image", cut_short, wrong_start])
def test_folder_with_a_corrupt_image(tmp_path, content):
    write_image_folder(tmp_path, {"a": 3, "b": 3}, size=(40, 40))
    path = tmp_path / "b" / "01.png"
    path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))
    assert str(path) in error_of(load_dataset, "folder", tmp_path)


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("image_size", [None, 3])
def test_folder_of_one_pixel_images(tmp_path, grey, image_size):
    write_image_folder(tmp_path, {"a": 2, "b": 2}, size=(1, 1))
    side = image_size or 1
    data = load_dataset("folder", tmp_path, image_size=image_size, grey=grey)
    assert data.shape == (1 if grey else 3, side, side)


def test_folder_missing_empty_or_a_file(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file.png"
    write_image(file, (1, 2, 3))
    assert str(tmp_path / "no") in error_of(load_dataset, "folder", tmp_path / "no")
    assert "class folder" in error_of(load_dataset, "folder", empty)
    assert "is a file" in error_of(load_dataset, "folder", file)
    assert "--data-dir" in error_of(load_dataset, "folder", None)


def test_folder_with_images_but_no_classes(tmp_path):
    write_image(tmp_path / "one.png", (1, 2, 3))
    assert "no class folders" in error_of(load_dataset, "folder", tmp_path)


def test_folder_with_an_empty_class(tmp_path):
    write_image_folder(tmp_path, {"a": 3, "b": 3, "hollow": 0})
    (tmp_path / "hollow" / "notes.txt").write_text("no picture")
    assert "hollow" in error_of(load_dataset, "folder", tmp_path)


def test_folder_with_one_class(tmp_path):
    write_image_folder(tmp_path, {"only": 4})
    assert "one class only (only)" in error_of(load_dataset, "folder", tmp_path)


def test_folder_with_a_class_too_small_to_split(tmp_path):
    write_image_folder(tmp_path, {"a": 4, "single": 1})
    assert "single" in error_of(load_dataset, "folder", tmp_path)


def test_folder_whose_parts_differ(tmp_path):
    write_image_folder(tmp_path / "train", {"a": 2, "b": 2})
    write_image_folder(tmp_path / "test", {"a": 2, "c": 2})
    assert error_of(load_dataset, "folder", tmp_path).endswith("b, c")


@pytest.mark.parametrize("present, absent", [("train", "test"), ("test", "train")])
def test_folder_with_one_part_only(tmp_path, present, absent):
    write_image_folder(tmp_path / present, {"a": 2, "b": 2})
    write_image_folder(tmp_path / "val", {"a": 2, "b": 2})
    assert f"no {absent}/" in error_of(load_dataset, "folder", tmp_path)


def test_folder_may_have_classes_called_train_and_test(tmp_path):
    write_image_folder(tmp_path, {"bus": 5, "test": 5, "train": 5})
    data = load_dataset("folder", tmp_path)
    assert data.n_classes == 3 and len(data.test) == 3


@pytest.mark.parametrize("image_size", [0, -4])
def test_folder_image_size_must_be_positive(tmp_path, image_size):
    write_image_folder(tmp_path, {"a": 2, "b": 2})
    assert str(image_size) in error_of(load_dataset, "folder", tmp_path, image_size=image_size)
