"""Many runs on a disk that is read-only, full or cleared under way: a sentence, nothing lost."""

import os
import shutil
import subprocess

import commands
import pytest
from commands import fails
from test_manyRuns import TINY, group_in, same_to_the_bit, summary_of

from records.checkpoint import read_checkpoint
from runs import launch, many

pytestmark = pytest.mark.long

TRAINING = [*map(str, TINY), "--epochs", "2", "--trials", "4"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    commands.call(*TRAINING, "--results-dir", results)
    return group_in(results)


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own, and a function that mounts it anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        return subprocess.run(command, capture_output=True, text=True)

    done = mount("size=64m")
    if done.returncode:
        pytest.skip(f"this user may not mount a file system ({done.stderr.strip()})")
    yield place, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", place], check=True)


def files_of(folder):
    """The content of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_read_only_disk_is_a_sentence_and_keeps_its_results(disk, undisturbed, capfd):

    place, mount = disk
    shutil.copytree(undisturbed, place / "Runs-1")
    (place / "Runs-1" / "seed=3" / "status.txt").unlink()
    before = files_of(place)
    mount("ro")
    for line in (f"--resume {place}/Runs-1", f"{' '.join(TRAINING)} --results-dir {place}/new"):
        assert "Read-only file system" in fails(line, capfd)
    assert files_of(place) == before
    mount("rw")
    commands.call("--resume", place / "Runs-1")
    same_to_the_bit(place / "Runs-1", undisturbed)


def test_a_full_disk_is_a_sentence_for_every_run_and_going_on_mends_it(disk, undisturbed, capfd):
    from main import main

    place, mount = disk
    size = sum(len(content) for content in files_of(undisturbed / "seed=0").values())
    mount(f"size={int(2.7 * size) // 1024 + 80}k")
    status = main([*TRAINING, "--results-dir", str(place)])
    out, err = capfd.readouterr()
    assert "No space left on device" in out + err and "Traceback" not in err
    assert (status, err.count("main.py: error: cannot write")) in ((2, 1), (0, 0)), err
    folder = group_in(place)
    done = [run for run in folder.glob("seed=*") if (run / "status.txt").exists()]
    done = [run for run in done if (run / "status.txt").read_text() == "done"]
    assert 0 < len(done) < 4
    for run in done:
        assert len(read_checkpoint(run / "checkpoint.pt")["progress"]["rows"]) == 2
    mount("size=64m")
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


def without_its_folder(words, more, folder, directory):
    """As `launch.run_one`, in the process of a run; seed 2 loses its folder when it begins."""
    return without(lambda place: place, words, more, folder, directory)


def without_the_common_folder(words, more, folder, directory):
    return without(lambda place: place.parent, words, more, folder, directory)


def without(gone, words, more, folder, directory):
    train = launch.ACTIONS["train"]

    def removes(args, argv, place):
        if args.seed == 2:
            shutil.rmtree(gone(place))
        train(args, argv, place)

    launch.ACTIONS["train"] = removes
    return launch.run_one(words, more, folder, directory)


def test_a_run_whose_folder_is_removed_fails_and_is_done_by_going_on(
    undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setattr(many, "run_one", without_its_folder)
    commands.call(*TRAINING, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    statuses = [row["status"] for row in summary_of(folder)]
    assert statuses[2].startswith("failed: cannot write") and "was removed" in statuses[2]
    assert statuses[:2] == ["done"] * 2 and statuses[3] == "done"
    monkeypatch.undo()
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


def test_if_the_common_folder_is_removed_the_program_ends_with_a_sentence(
    tmp_path, monkeypatch, capfd
):
    from main import main

    monkeypatch.setattr(many, "run_one", without_the_common_folder)
    assert main([*TRAINING, "--results-dir", str(tmp_path)]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "its folder was removed while the program ran" in err
    assert list(tmp_path.glob("*/*/*")) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")
def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / launch.LOG).symlink_to("/dev/full")
    status = launch.perform(lambda: print("epoch 1"), tmp_path)
    assert status == f"failed: cannot write in {tmp_path} (No space left on device)"
