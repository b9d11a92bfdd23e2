"""Data of one's own: .npz and .csv files, right and wrong."""

import commands
import numpy as np
import pytest
import torch

from datasets import load_dataset
from errors import DataError

LABELS = np.arange(30) % 3
FEATURES = np.random.RandomState(0).randn(30, 4) * 10 + LABELS[:, None]
BLOBS = {"x": FEATURES, "y": LABELS}


def npz(place, **arrays):
    np.savez(place / "own.npz", **arrays)
    return place / "own.npz"


def table(place, text):
    (place / "own.csv").write_text(text)
    return place / "own.csv"


def test_classes_of_arrays(tmp_path):
    data = load_dataset("file", npz(tmp_path, **BLOBS))
    assert (data.shape, data.n_classes, data.unit) == ((4,), 3, "%")
    assert (len(data.train), len(data.test)) == (24, 6)
    assert torch.bincount(data.test.y).tolist() == [2, 2, 2]
    assert data.train.x.min() == 0 and data.train.x.max() == 1  # every column
    assert (data.train.x.amax(0) == 1).all() and (data.train.x.amin(0) == 0).all()
    assert "3 classes (0 10, 1 10, 2 10), 4 inputs (every column scaled to [0, 1])" in data.note
    again = load_dataset("file", npz(tmp_path, **BLOBS))
    assert torch.equal(again.test.x, data.test.x)


def test_a_split_of_its_own_and_words_as_classes(tmp_path):
    words = np.array(["dog", "cat"])[LABELS % 2]
    half = {"x": FEATURES[:20], "x_test": FEATURES[20:], "y": words[:20], "y_test": words[20:]}
    data = load_dataset("file", npz(tmp_path, **half))
    assert (len(data.train), len(data.test), data.n_classes) == (20, 10, 2)
    assert data.test.y.tolist() == [int(word == "dog") for word in words[20:]]
    low, high = FEATURES[:20].min(0), FEATURES[:20].max(0)
    expected = torch.tensor((FEATURES[20:] - low) / (high - low)).float()
    assert torch.allclose(data.test.x, expected, atol=1e-6)


def test_images_keep_their_bytes_and_get_a_channel(tmp_path):
    images = np.random.RandomState(0).randint(0, 256, (30, 5, 6)).astype(np.uint8)
    data = load_dataset("file", npz(tmp_path, x=images, y=LABELS))
    assert data.shape == (1, 5, 6) and data.train.x.dtype == torch.uint8 and data.train.scale == 255
    data = load_dataset("file", npz(tmp_path, x=images[:, None] / 255, y=LABELS))
    assert data.shape == (1, 5, 6) and "as they are" in data.note


def test_real_targets_are_a_regression(tmp_path):
    y = np.linspace(-5, 5, 30)
    data = load_dataset("file", npz(tmp_path, x=FEATURES, y=y))
    assert (data.n_classes, data.unit, data.train.task) == (1, "half squared error", "values")
    assert data.train.y.shape == (24, 1) and data.train.y.min() == 0 and data.train.y.max() == 1
    data = load_dataset("file", npz(tmp_path, x=FEATURES, y=np.stack([y, -y], 1)))
    assert data.n_classes == 2 and data.train.task == "values"


def test_a_csv_file(tmp_path):
    lines = [f"{a},{b},{'rose' if k % 2 else 'iris'},{'test' if k > 7 else 'train'}"
             for k, (a, b) in enumerate(FEATURES[:12, :2])]  # fmt: skip
    data = load_dataset("file", table(tmp_path, "\n".join(["width,height,y,split", *lines])))
    assert (len(data.train), len(data.test), data.shape) == (8, 4, (2,))
    assert "2 classes (iris 6, rose 6)" in data.note and "8 samples for training" in data.note
    real = "a,y\n" + "\n".join(f"{k},{k / 2}" for k in range(10))
    assert load_dataset("file", table(tmp_path, real)).train.task == "values"
    whole = "a,y\n" + "\n".join(f"{k},{k % 2}" for k in range(10))
    assert load_dataset("file", table(tmp_path, whole)).n_classes == 2


WRONG_ARRAYS = {
    "has no array 'y'": {"x": FEATURES},
    "x has 30 samples, y 29": {"x": FEATURES, "y": LABELS[1:]},
    "x is NaN or infinite in sample 3": {"x": np.where(np.arange(30)[:, None] == 3, np.nan, 1.0)},
    "y is NaN or infinite in sample 2": {"y": np.where(np.arange(30) == 2, np.inf, 1.0)},
    "has one class only (7)": {"y": np.full(30, 7)},
    "has one sample only of class 9": {"y": np.where(np.arange(30) == 4, 9, LABELS)},
    "x has shape (30,)": {"x": FEATURES[:, 0]},
    "y has shape (30, 4): classes": {"y": FEATURES.astype(int)},
    "x is of type complex128": {"x": FEATURES * 1j},
    "x is of type <U1": {"x": np.full((30, 2), "a")},
    "one of x_test and y_test only": {"x_test": FEATURES},
    "the samples of x have shape (4,), those of x_test (3,)": {
        "x_test": FEATURES[:, :3],
        "y_test": LABELS,
    },
    "x_test has 30 samples, y_test 3": {"x_test": FEATURES, "y_test": LABELS[:3]},
    "no sample for training is of class 4, 8": {"x_test": FEATURES, "y_test": LABELS * 4},
    "x has shape (0, 4)": {"x": FEATURES[:0], "y": LABELS[:0]},
    "arrays of objects": {"x": np.array([[1], [None]] * 15, dtype=object)},
}


@pytest.mark.parametrize("said", WRONG_ARRAYS)
def test_wrong_arrays_are_a_sentence(said, tmp_path):
    arrays = WRONG_ARRAYS[said] if "no array" in said else BLOBS | WRONG_ARRAYS[said]
    with pytest.raises(DataError) as error:
        load_dataset("file", npz(tmp_path, **arrays))
    assert said in str(error.value) and "\n" not in str(error.value)


WRONG_TABLES = {
    "is empty": "",
    "needs a header with one column y, the target: it has 1, 2, 3": "1,2,3\n4,5,6\n",
    "line 3 has 2 cells, the header 3": "a,b,y\n1,2,0\n1,2\n",
    "line 3 has 'x' in column b": "a,b,y\n1,2,0\n1,x,1\n",
    "line 2 has '' in column a": "a,b,y\n,2,0\n1,2,1\n",
    "has no column beside y": "y\n0\n1\n",
    "two columns of the same name": "a,a,y\n1,1,0\n1,1,1\n",
    "the column split has 'dev', not train or test": "a,split,y\n1,dev,0\n1,train,1\n",
    "has no sample for testing": "a,split,y\n1,train,0\n1,train,1\n",
    "x is NaN or infinite in sample 1": "a,y\n1,0\nnan,1\n",
    "x has shape": "a,y\n",
}


@pytest.mark.parametrize("said", WRONG_TABLES)
def test_wrong_tables_are_a_sentence(said, tmp_path):
    with pytest.raises(DataError) as error:
        load_dataset("file", table(tmp_path, WRONG_TABLES[said]))
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nothing.npz", "own.txt", "", "own.npz", "own.csv"])
def test_what_is_no_such_file(name, tmp_path):
    if name.startswith("own"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00 not what it says")
    with pytest.raises(DataError, match="--data-dir FILE.npz or FILE.csv|cannot be read"):
        load_dataset("file", tmp_path / name)


def test_a_network_learns_it_from_the_command_line(place, capfd):
    npz(place, x=LABELS[:, None] == np.arange(3) + 0.0, y=LABELS)
    words = "--dataset file --data-dir own.npz --discrete --T 20 --Kmax 8 --batch-size 5 --epochs 7"
    printed = commands.call(
        *words.split(), "--lr_tab", 0.1, "--beta", 0.5, "--size_tab", 3, 8, 3, "--no-figures"
    )
    assert "own.npz: 3 classes" in printed
    [folder] = place.glob("results/ep_disc_1hidden_own/*/Trial-1")
    assert (folder / "metrics.csv").read_text().splitlines()[-1].split(",")[3] == "0.0"
    commands.call("--action", "evaluate", "--load", folder / "checkpoint.pt")
    capfd.readouterr()
    commands.fails("--dataset file", capfd)
