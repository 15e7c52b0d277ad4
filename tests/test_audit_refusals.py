"""What the audit refuses, before it compares anything."""

from commands import run_program
from small_data import make_ramps, write_cache

from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest, write_manifest


def test_a_file_in_place_of_the_folder_is_told_before_clips_are_compared(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(1, split="train"))
    (tmp_path / "mine").write_text("mine")
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path / 'mine'}")
    done = run_program("train_head.audit", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: [Errno 17] File exists: '{tmp_path}/mine'. Expected a f")


def test_clips_that_the_cache_lacks_are_told_before_others_are_read(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    clips = read_manifest(cache.manifest_path)
    write_manifest(tmp_path / "more.csv", [*clips, Clip("gone", "gone", "walk", "test")])
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path}/audit")
    done = run_program("train_head.audit", *flags, f"--manifest={tmp_path}/more.csv", check=False)
    assert done.returncode == 1 and done.stderr.startswith(
        f"error: {cache.cache_dir}: 1 of 5 clips are not in the cache, such as "
        f"{cache.clip_path('gone')}, which {cache.manifest_path} does not list either"
    )


def test_clips_of_one_split_have_nothing_to_be_compared_with(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(6, split="train"))
    flags = (f"--cache_dir={cache.cache_dir}", f"--output_dir={tmp_path / 'new' / 'audit'}")
    done = run_program("train_head.audit", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    text = f"error: {cache.manifest_path}: expected clips in at least two splits, since duplicates"
    assert done.stderr.startswith(text) and "Received: 'train' for all 12. Give" in done.stderr
    assert not (tmp_path / "new").exists()
