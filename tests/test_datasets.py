"""Data sets: what a batch is, the sets that need no files, and values that are not numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from readerChecks import error_of

from datasets import DATASETS, Split, check_values, load_dataset, scaled_columns, some_of
from errors import DataError
from main import main
from readers.base import choose_test
from readers.names import NAMES

ROOT = Path(__file__).resolve().parent.parent


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
    assert "pip install scikit-learn" in error_of(load_dataset, "digits", None)


def test_importing_reads_no_library_that_is_dear():
    code = (
        "import sys, readers.names; print('torch' in sys.modules, 'numpy' in sys.modules);"
        "import datasets; print([m for m in ('torchvision', 'sklearn', 'PIL') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["False False", "[]"], run.stderr


# ------------------------------------------------------------------- what is not a number


def broken_table(monkeypatch, name, change):
    """scikit-learn's table with `change` made to its data and target."""
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    change(table)
    monkeypatch.setattr(datasets, f"load_{name}", lambda: table)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", [0, 1])
def test_a_value_that_is_no_number_is_said_with_its_place(monkeypatch, part, value):
    from sklearn.datasets import load_wine

    rows = choose_test(load_wine().target, share=28 / 178)[part]

    def change(table):
        table.data[rows[9], 3] = table.data[rows[9], 4] = table.data[rows[12], 3] = value

    broken_table(monkeypatch, "wine", change)
    message = error_of(load_dataset, "wine", None)
    assert "3 inputs in the " + ("training", "test")[part] + " data of wine" in message
    assert "the first in sample 9 " in message


def test_a_target_that_is_no_number(monkeypatch):
    def change(table):
        table.target[[3, 5]] = np.nan

    broken_table(monkeypatch, "diabetes", change)
    message = error_of(load_dataset, "diabetes", None)
    assert "targets in the t" in message and "data of diabetes" in message


def test_the_program_refuses_such_data_and_blames_no_rate(monkeypatch, tmp_path, capfd):
    def change(table):
        table.data[7, 0] = np.nan

    broken_table(monkeypatch, "wine", change)
    words = f"--preset wine_5layer_swni --results-dir {tmp_path} --quiet"
    assert main(words.split()) == 2
    out, err = capfd.readouterr()
    assert err.startswith("main.py: error: 1 inputs in the ") and err.count("\n") == 1
    assert "lr_tab" not in err and not list(tmp_path.rglob("metrics.csv"))


def test_values_are_checked_in_every_place():
    x, y = torch.zeros(4, 2, 3), torch.zeros(4, 1)
    check_values(Split(x, y, 1, 1.0, "values"), "the data")
    for values, i in ((x, (2, 1, 2)), (y, (3, 0))):
        values[i] = torch.inf
        message = error_of(check_values, Split(x, y, 1, 1.0, "values"), "the data")
        assert message.startswith("1 ") and f"sample {i[0]} " in message
        values[i] = 0


def test_columns_are_scaled_past_what_is_no_number():
    values = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 7.0], [np.inf, 6.0]])
    expected = [[0, 0], [1, np.nan], [0.5, 1], [np.inf, 0.5]]
    np.testing.assert_array_equal(scaled_columns(values), expected)


# ------------------------------------------------------------------------------------------- all


def test_unknown_name_lists_the_known_ones():
    message = error_of(load_dataset, "mnits", None)
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
