"""Data sets: what a batch is, where files are found, and what is said when they are not.

No network, and no data but what scikit-learn ships; one test reads the real MNIST if it is there.
"""

import gzip
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from datasets import DATASETS, Split, load_dataset, some_of  # noqa: E402
from errors import DataError  # noqa: E402
from readers.base import DOWNLOAD_TIMEOUT, choose_test  # noqa: E402
from readers.mnist import IDX_FILES  # noqa: E402
from readers.names import NAMES  # noqa: E402

REAL_DATA = ROOT.parent / "shared" / "data"
N_TRAIN, N_TEST, SIDE = 30, 12, 28


# --------------------------------------------------------------------------------------- helpers


def idx_bytes(values):
    """An idx file of unsigned bytes: magic number, the sizes (big endian), the values."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


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


def write_image(path, colour, size=(6, 4), mode="RGB"):
    """A PNG of one colour; size is (width, height)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def write_image_folder(root, counts, **image):
    """A folder per class; the colour (class, number, 100) tells every image from the others."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            write_image(root / name / f"{i:02d}.png", (label, i, 100), **image)


def error_of(name, data_dir, **options):
    """The message of the DataError that loading must end with, checked to be one sentence."""
    with pytest.raises(DataError) as caught:
        load_dataset(name, data_dir, **options)
    message = str(caught.value)
    assert message and "\n" not in message and ". " not in message and not message.endswith(".")
    return message


def contents(folder):
    return sorted(path for path in folder.rglob("*"))


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


@pytest.fixture
def split():
    x = torch.arange(11 * 4, dtype=torch.uint8).reshape(11, 1, 2, 2)
    return Split(x, torch.arange(11) % 3, n_classes=3, scale=50.0)


# --------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("index", [slice(2, 5), torch.tensor([4, 0, 4])])
def test_batch_is_scaled_and_one_hot(split, index, dtype):
    data, target = split.batch(index, dtype)
    assert data.dtype == target.dtype == dtype
    torch.testing.assert_close(data, split.x[index].to(dtype) / 50)
    torch.testing.assert_close(target, torch.eye(3, dtype=dtype)[split.y[index]])


def test_batch_is_a_copy_also_of_floats():
    x = torch.rand(5, 2)
    stored = x.clone()
    data, _ = Split(x, torch.zeros(5, dtype=torch.int64), 2, 2.0).batch(slice(0, 3))
    torch.testing.assert_close(data, stored[:3] / 2)
    data.zero_()
    assert torch.equal(x, stored)


@pytest.mark.parametrize(
    "batch_size, sizes", [(4, [4, 4, 3]), (11, [11]), (20, [11]), (1, [1] * 11)]
)
def test_batches_hand_out_every_sample_once(split, batch_size, sizes):
    batches = list(split.batches(batch_size))
    assert [len(data) for data, _ in batches] == sizes
    assert split.n_batches(batch_size) == len(sizes)
    whole, whole_target = split.batch(slice(None))
    assert torch.equal(torch.cat([data for data, _ in batches]), whole)
    assert torch.equal(torch.cat([target for _, target in batches]), whole_target)


def test_batches_follow_the_order(split):
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    data, target = (torch.cat(parts) for parts in zip(*split.batches(4, order=order), strict=True))
    expected, expected_target = split.batch(order)
    assert torch.equal(data, expected) and torch.equal(target, expected_target)
    assert not torch.equal(data, split.batch(slice(None))[0])


@pytest.mark.parametrize("order", [None, torch.arange(10, -1, -1)])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_batches_go_on_where_a_pass_was_left(split, order, start):
    everything = list(split.batches(4, torch.float64, order))
    rest = list(split.batches(4, torch.float64, order, start))
    assert len(rest) == 3 - start
    for (data, target), (again, target_again) in zip(everything[start:], rest, strict=True):
        assert torch.equal(data, again) and torch.equal(target, target_again)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"batch_size": 0}, "0"),
        ({"batch_size": -3}, "-3"),
        ({"batch_size": 4, "start": 4}, "4"),
        ({"batch_size": 4, "start": -1}, "-1"),
        ({"batch_size": 4, "order": torch.arange(9)}, "9"),
    ],
)
def test_batches_refuse_what_does_not_fit_at_once(split, options, named):
    with pytest.raises(ValueError, match=named):
        split.batches(**options)


def test_choose_test_takes_its_share_of_every_class():
    y = np.repeat([0, 1, 2], [50, 20, 2])
    train, test = choose_test(y, share=0.2)
    assert sorted([*train, *test]) == list(range(72))
    assert np.bincount(y[test]).tolist() == [10, 4, 1]
    assert (np.diff(y[train]) < 0).any()  # classes are mixed


# ---------------------------------------------------------------------------------------- digits


def test_digits_are_all_there_and_scaled():
    data = load_dataset("digits", None)
    assert data[:3] == ("digits", (1, 8, 8), 10)
    assert (len(data.train), len(data.test)) == (1500, 297)
    assert data.train.x.dtype == torch.uint8 and data.train.y.dtype == torch.int64
    x, target = data.train.batch(slice(None))
    assert x.shape == (1500, 1, 8, 8) and target.shape == (1500, 10)
    assert x.min() == 0 and x.max() == 1
    assert data.test.y.bincount().min() >= 28


def test_digits_split_is_disjoint_and_complete():
    from sklearn.datasets import load_digits

    data = load_dataset("digits", None)
    x = torch.cat([data.train.x, data.test.x]).flatten(1)
    y = torch.cat([data.train.y, data.test.y])
    rows = sorted([*row, label] for row, label in zip(x.tolist(), y.tolist(), strict=True))
    bunch = load_digits()
    expected = np.column_stack([bunch.data, bunch.target]).astype(int).tolist()
    assert rows == sorted(expected)  # no sample twice, none left out, each with its label


def test_digits_split_never_changes():
    torch.manual_seed(1)
    np.random.seed(1)
    data = load_dataset("digits", None)
    weight = torch.arange(1, 298)
    assert data.test.y[:12].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
    assert int((data.test.y * weight).sum()) == 182879


def test_missing_library_is_named_with_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert "pip install scikit-learn" in error_of("digits", None)


def test_importing_reads_no_library_and_no_data():
    import subprocess

    code = (
        "import sys, datasets; print([m for m in ('torchvision', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


# --------------------------------------------------------------------------- MNIST and its family


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
    assert str(raw / "MNIST" / "raw") in error_of("mnist", raw)


@pytest.mark.parametrize("name, kind", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_missing_offline(tmp_path, offline, capfd, name, kind):
    message = error_of(name, tmp_path / "not" / "there")
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
    message = error_of("mnist", tmp_path)
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
    assert str(error) in error_of("mnist", tmp_path / "new")
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
    message = error_of("mnist", tmp_path)
    assert str(path) in message and "--dataset digits" in message
    assert offline == []


@pytest.mark.parametrize("damage", [cut_short, wrong_magic, lambda content: b"not packed"])
def test_damaged_gz_file_is_named(tmp_path, offline, damage):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw, packed=True)
    path = raw / f"{IDX_FILES[0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    message = error_of("mnist", tmp_path)
    assert str(path) in message and "--dataset digits" in message


def test_labels_must_be_as_many_as_images(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw)
    (raw / IDX_FILES[3]).write_bytes(idx_bytes(np.zeros(N_TEST - 1)))
    message = error_of("mnist", tmp_path)
    assert str(raw / IDX_FILES[3]) in message
    assert f"{N_TEST - 1} labels" in message and f"{N_TEST} images" in message


def test_label_out_of_range(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    labels = write_idx_set(raw)[IDX_FILES[1]]
    labels[7] = 10
    (raw / IDX_FILES[1]).write_bytes(idx_bytes(labels))
    message = error_of("mnist", tmp_path)
    assert str(raw / IDX_FILES[1]) in message and "label 10" in message


def test_images_of_two_sizes(tmp_path, offline):
    raw = tmp_path / "MNIST" / "raw"
    write_idx_set(raw)
    (raw / IDX_FILES[2]).write_bytes(idx_bytes(np.zeros((N_TEST, 14, 20))))
    message = error_of("mnist", tmp_path)
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


# ------------------------------------------------------------------------------ folders of images


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
    from PIL import Image

    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, 4:] = 240  # dark on the left, bright on the right
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    x = load_dataset("folder", tmp_path, image_size=4, grey=True).train.x[0, 0]
    assert (x[:, 0] == 0).all() and (x[:, 3] == 240).all()


def test_folder_scales_16_bit_images(tmp_path):
    from PIL import Image

    for name, value in {"a": 0x2000, "b": 0xC000}.items():
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(np.full((2, 2), value, np.uint16)).save(tmp_path / name / f"{i}.png")
    data = load_dataset("folder", tmp_path, grey=True)
    assert data.train.x[data.train.y.argsort()][:, 0, 0, 0].tolist() == [0x20, 0xC0]


@pytest.mark.parametrize("content", [b"", b"not an image", cut_short, wrong_magic])
def test_folder_with_a_corrupt_image(tmp_path, content):
    write_image_folder(tmp_path, {"a": 3, "b": 3}, size=(40, 40))
    path = tmp_path / "b" / "01.png"
    path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))
    assert str(path) in error_of("folder", tmp_path)


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
    assert str(tmp_path / "no") in error_of("folder", tmp_path / "no")
    assert "class folder" in error_of("folder", empty)
    assert "is a file" in error_of("folder", file)
    assert "--data-dir" in error_of("folder", None)


def test_folder_with_images_but_no_classes(tmp_path):
    write_image(tmp_path / "one.png", (1, 2, 3))
    assert "no class folders" in error_of("folder", tmp_path)


def test_folder_with_an_empty_class(tmp_path):
    write_image_folder(tmp_path, {"a": 3, "b": 3, "hollow": 0})
    (tmp_path / "hollow" / "notes.txt").write_text("no picture")
    assert "hollow" in error_of("folder", tmp_path)


def test_folder_with_one_class(tmp_path):
    write_image_folder(tmp_path, {"only": 4})
    assert "one class only (only)" in error_of("folder", tmp_path)


def test_folder_with_a_class_too_small_to_split(tmp_path):
    write_image_folder(tmp_path, {"a": 4, "single": 1})
    assert "single" in error_of("folder", tmp_path)


def test_folder_whose_parts_differ(tmp_path):
    write_image_folder(tmp_path / "train", {"a": 2, "b": 2})
    write_image_folder(tmp_path / "test", {"a": 2, "c": 2})
    assert error_of("folder", tmp_path).endswith("b, c")


@pytest.mark.parametrize("present, absent", [("train", "test"), ("test", "train")])
def test_folder_with_one_part_only(tmp_path, present, absent):
    write_image_folder(tmp_path / present, {"a": 2, "b": 2})
    write_image_folder(tmp_path / "val", {"a": 2, "b": 2})
    assert f"no {absent}/" in error_of("folder", tmp_path)


def test_folder_may_have_classes_called_train_and_test(tmp_path):
    write_image_folder(tmp_path, {"bus": 5, "test": 5, "train": 5})
    data = load_dataset("folder", tmp_path)
    assert data.n_classes == 3 and len(data.test) == 3


@pytest.mark.parametrize("image_size", [0, -4])
def test_folder_image_size_must_be_positive(tmp_path, image_size):
    write_image_folder(tmp_path, {"a": 2, "b": 2})
    assert str(image_size) in error_of("folder", tmp_path, image_size=image_size)


# ------------------------------------------------------------------------------------------- all


def test_unknown_name_lists_the_known_ones():
    message = error_of("mnits", None)
    assert "mnits" in message and all(name in message for name in DATASETS)


def test_the_names_are_those_of_the_sets():
    assert tuple(DATASETS) == NAMES


def test_data_are_moved_to_the_device():
    data = load_dataset("digits", None, device="meta")
    assert {t.device.type for s in (data.train, data.test) for t in (s.x, s.y)} == {"meta"}


def test_some_of_the_training_samples():
    data = load_dataset("digits", None)
    some, same, other = (some_of(data, 100, seed) for seed in (1, 1, 2))
    assert len(some.train) == len(some.train.x) == 100
    assert some.test is data.test
    assert torch.equal(some.train.x, same.train.x) and torch.equal(some.train.y, same.train.y)
    assert not torch.equal(some.train.y, other.train.y)
    with pytest.raises(DataError, match="--train-samples 1501: digits has 1500 training samples"):
        some_of(data, 1501, 1)
