"""What several test files share: a small data set, and the cache of its features."""

import dataclasses
import logging
import os
import shutil
import subprocess

import pytest
from browser import find_chromium, open_page
from commands import SMALL_HEAD, run_program
from frame_data import write_walks
from make_commands import prepare_make
from moving_squares import write_moving_squares
from small_cache import SMALL
from small_data import SCORED_SETTINGS, copy_cache, make_ramps, train, write_cache
from small_extraction import SMALL_SETTINGS, extract
from small_imports import CLIP_IDS, SPLITS, import_ramps, train_imported
from small_labels import FEATURES

from lrcn.common.cache.open_cache import create_cache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.programs.tensorflow_start import import_tensorflow, own_process

# What is equal bit by bit on a CPU differs in the last bits on a GPU, from run to run.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
own_process()  # TensorFlow starts as in the programs


def pytest_collectstart():
    # Before a test imports Keras by itself: only the programs' kernels round as the programs do.
    import_tensorflow()


@pytest.fixture(scope="session", autouse=True)
def random_weights_drawn_once():
    # Later: it imports Keras.
    from small_vgg16 import draw_random_weights_once

    with draw_random_weights_once():
        yield


@pytest.fixture(scope="session")
def clips_dir(tmp_path_factory):
    """The clips of `write_moving_squares`, not to be changed."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_moving_squares(folder)
    return folder


@pytest.fixture(scope="session")
def cache_dir(clips_dir, tmp_path_factory):
    """The cache of `clips_dir`, not to be changed: copy it first (`shutil.copytree`)."""
    folder = tmp_path_factory.mktemp("features") / "cache"
    extract(clips_dir, folder)
    return folder


@pytest.fixture(scope="session")
def run_dir(cache_dir, tmp_path_factory):
    """A small run trained on `cache_dir`, not to be changed; what the command printed lies beside
    it in `stdout.txt`.
    """
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = run_program("train_head", f"--cache_dir={cache_dir}", f"--run_dir={folder}", *SMALL_HEAD)
    (folder.parent / "stdout.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def ramps(tmp_path_factory):
    """A cache of clips that are told apart by the order of their frames alone, not to be
    changed: copy it first (`copy_cache`).
    """
    features = {
        **make_ramps(24, split="train"),
        **make_ramps(8, split="val"),
        **make_ramps(12, split="test"),
    }
    return write_cache(tmp_path_factory.mktemp("ramps") / "cache", features)


@pytest.fixture(scope="session")
def scored(ramps, tmp_path_factory):
    """A run on `ramps` with its score of the test clips, not to be changed."""
    # Later: it imports Keras.
    from train_head.scores.held_out import score_run

    run = train(ramps, tmp_path_factory.mktemp("scored") / "run", **SCORED_SETTINGS)
    score_run(run, ramps)
    return run


@pytest.fixture
def trained(ramps, scored, tmp_path):
    """A cache and a scored run on it, which a test may change."""
    run = RunDir(shutil.copytree(scored.path, tmp_path / "run"))
    return copy_cache(ramps, tmp_path / "cache"), run


@pytest.fixture
def data(clips_dir, tmp_path):
    """A copy of the clips, which a test may change."""
    return shutil.copytree(clips_dir, tmp_path / "data")


@pytest.fixture
def cache_copy(cache_dir, tmp_path):
    """A copy of the cache, which a test may change; it is also current for a copy of the clips."""
    return shutil.copytree(cache_dir, tmp_path / "cache")


@pytest.fixture(scope="session")
def walks(tmp_path_factory):
    """A cache of clips whose frames are labelled by what happened just before, and the labels."""
    return write_walks(tmp_path_factory.mktemp("walks"))


@pytest.fixture
def cache(tmp_path):
    """An empty cache of the contract `small_cache.SMALL`."""
    return create_cache(tmp_path / "cache", contract=SMALL, data_root=tmp_path)


@pytest.fixture(scope="session")
def block4_dir(clips_dir, tmp_path_factory):
    """The cache of `clips_dir` cut at block4_pool, not to be changed."""
    folder = tmp_path_factory.mktemp("block4") / "cache"
    extract(clips_dir, folder, dataclasses.replace(SMALL_SETTINGS, cut="block4_pool"))
    return folder


@pytest.fixture
def make_small_disk(tmp_path):
    """Returns a function that makes a disk of so many KiB, where this user may."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size_kib):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only a user who may mount can make a small disk")
        return folder

    yield make
    if os.path.ismount(folder):
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def dead_disk(tmp_path):
    """The folder of a disk whose program, such as sshfs, has ended, where this user may."""
    folder = tmp_path / "dead"
    folder.mkdir()
    try:
        program = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={program},rootmode=40000,user_id=0,group_id=0"
        command = ["mount", "-i", "-t", "fuse", "-o", options, "dead", folder]
        subprocess.run(command, check=True, capture_output=True, pass_fds=[program])
        os.close(program)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only a user who may mount can make such a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def make(tmp_path):
    """Runs make in earnest, see `prepare_make`."""
    return prepare_make(tmp_path)


@pytest.fixture
def manifest(tmp_path):
    """The manifest of `small_imports.CLIP_IDS`."""
    # The videos need not be there.
    clips = [
        Clip(x, f"{x}.avi", x.split("/")[0], s) for x, s in zip(CLIP_IDS, 2 * SPLITS, strict=True)
    ]
    write_manifest(tmp_path / "clips.csv", clips)
    return tmp_path / "clips.csv"


@pytest.fixture
def run_import(manifest, tmp_path):
    """Runs the import of features into `tmp_path/cache`; gives what it logs."""

    def run(features, *flags, status=0):
        done = run_program(
            "extract_features.import_features",
            f"--features={features}",
            f"--data={manifest}",
            f"--cache_dir={tmp_path}/cache",
            *flags,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    """The folder of `small_imports.import_ramps`, not to be changed."""
    folder = tmp_path_factory.mktemp("imported")
    import_ramps(folder)
    return folder


@pytest.fixture(scope="session")
def feature_run(imported, tmp_path_factory):
    """A run on `imported`, not to be changed."""
    return train_imported(imported, tmp_path_factory.mktemp("feature_runs") / "run")


@pytest.fixture(scope="module")
def page():
    """A page of a real browser."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium), and CHROMIUM not set")
    with open_page(chromium) as opened:
        yield opened


@pytest.fixture(scope="session")
def timed(tmp_path_factory):
    """A cache of the clips of `small_labels` at 10 frames a second, not to be changed."""
    return write_cache(tmp_path_factory.mktemp("timed") / "cache", FEATURES, fps=10)


@pytest.fixture(scope="session")
def untimed(tmp_path_factory):
    """The same as folders of images are, without times."""
    return write_cache(tmp_path_factory.mktemp("untimed") / "cache", FEATURES)


@pytest.fixture(scope="session")
def strided(tmp_path_factory):
    """The same of every second frame, of clips of 11 and 7 frames."""
    folder = tmp_path_factory.mktemp("strided") / "cache"
    return write_cache(folder, FEATURES, fps=10, frame_stride=2)


@pytest.fixture
def when_logged(monkeypatch, caplog):
    """A function that has another called in the midst of ours, where a text is logged."""

    def register(text, act):
        def look(record):
            if text in record.getMessage():
                act()
            return True

        caplog.set_level(logging.INFO, "absl")
        monkeypatch.setattr(logging.getLogger("absl"), "filters", [look])

    return register
