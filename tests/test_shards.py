"""Several extractions share a cache, each with clips of its own."""

import contextlib
import dataclasses
import shutil
from collections import Counter

import pytest
from commands import SMALL_BACKBONE, read_failures, run_program, start_program
from small_data import read_cache_bytes
from small_extraction import (
    NUM_CLIPS,
    SMALL_SETTINGS,
    assert_same_features,
    extract,
    read_all,
)
from test_extract_resume import hold_back

from lrcn.common.cache.cache_lock import Shard, lock_cache
from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.manifest import read_manifest
from lrcn.common.programs.devices import choose_compute_dtype

CLIP_IDS = [f"walk/clip_{i}" for i in range(1000)]


def extract_shard(index, num_shards, data, cache_dir, *flags, check=True):
    return run_program(
        "extract_features",
        f"--data={data}",
        f"--cache_dir={cache_dir}",
        f"--shard_index={index}",
        f"--num_shards={num_shards}",
        *flags,
        check=check,
    )


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7, 64])
def test_every_clip_is_of_one_shard_and_all_are_alike_in_size(num_shards):
    shards = [Shard(i, num_shards) for i in range(num_shards)]
    owners = [[shard.index for shard in shards if shard.holds(x)] for x in CLIP_IDS]
    assert all(len(x) == 1 for x in owners)
    sizes = Counter(x[0] for x in owners)
    mean = len(CLIP_IDS) / num_shards
    assert all(abs(sizes[shard.index] - mean) < 5 * mean**0.5 for shard in shards)
    assert [shard.places.start for shard in shards[1:]] == [x.places.stop for x in shards[:-1]]
    assert shards[0].places.start == 0 and shards[-1].places.stop == 2**48


def test_the_shard_of_a_clip_never_changes():
    # Else machines that run different versions would leave clips out.
    shards = [Shard(i, 3) for i in range(3)]
    owners = [next(x.index for x in shards if x.holds(clip_id)) for clip_id in CLIP_IDS[:14]]
    assert owners == [0, 2, 2, 2, 0, 2, 2, 2, 0, 2, 0, 1, 2, 1]


def test_two_shards_at_once_make_the_cache_of_one_extraction(clips_dir, cache_dir, tmp_path):
    with contextlib.ExitStack() as started:
        shards = [
            started.enter_context(
                start_program(
                    "extract_features",
                    f"--data={clips_dir}",
                    f"--cache_dir={tmp_path}/cache",
                    f"--shard_index={index}",
                    "--num_shards=2",
                    *SMALL_BACKBONE,
                )
            )
            for index in range(2)
        ]
        statuses = [shard.wait() for shard in shards]
        outputs = [shard.read_output() for shard in shards]
    assert statuses == [0, 0], outputs
    clips = read_manifest(cache_dir / "manifest.csv")
    for index, output in enumerate(outputs):
        num_clips = sum(Shard(index, 2).holds(clip.clip_id) for clip in clips)
        assert 0 < num_clips < len(clips)
        assert f"{num_clips} of {num_clips} clips to extract" in output
        assert f"{num_clips} clips done, 0 skipped (already there), 0 failed" in output
    found, expected = read_cache_bytes(tmp_path / "cache"), read_cache_bytes(cache_dir)
    assert found.keys() == expected.keys()
    for name in ("cache.json", "manifest.csv", "classes.txt"):
        assert found[name] == expected[name]
    assert_same_features(tmp_path / "cache", cache_dir)


def test_the_first_cache_decides_the_dtype_of_shards_that_began_together(data, tmp_path):
    # Each measures how fast bfloat16 is, and neighbours make it faster and slower.
    measured = choose_compute_dtype("auto")
    other = "float32" if measured == "bfloat16" else "bfloat16"
    cache = tmp_path / "cache"
    clip_ids = [path.relative_to(data).with_suffix("").as_posix() for path in data.rglob("*.mp4")]
    held = next(x for x in clip_ids if Shard(1, 2).holds(x))
    flags = "--weights=random", "--image_size=32", "--shard_index=1", "--num_shards=2"
    with contextlib.ExitStack() as stack:
        holding = stack.enter_context(contextlib.ExitStack())
        holding.enter_context(hold_back(data / f"{held}.mp4"))
        shard = stack.enter_context(
            start_program("extract_features", f"--data={data}", f"--cache_dir={cache}", *flags)
        )
        # It has seen that there is no cache, and looks how large its clips are.
        shard.wait_until(cache.exists)
        settings = dataclasses.replace(SMALL_SETTINGS, compute_dtype=other)
        extract(data, cache, settings, shard=Shard(0, 2))
        holding.close()
        assert shard.wait() == 0, shard.read_output()
    assert read_cache(cache).contract.compute_dtype == other
    assert len(read_all(cache)) == NUM_CLIPS


@pytest.mark.parametrize(
    ("held", "refused", "allowed"),
    [
        (Shard(0, 2), [Shard(0, 2), Shard(), Shard(0, 4), Shard(1, 3)], [Shard(1, 2), Shard(3, 4)]),
        (Shard(), [Shard(), Shard(1, 2)], []),
    ],
    ids=str,
)
def test_who_could_write_the_same_clip_is_refused(
    cache_dir, clips_dir, tmp_path, held, refused, allowed
):
    cache = shutil.copytree(cache_dir, tmp_path / "cache")
    with lock_cache(cache, held):
        for shard in refused:
            done = extract_shard(shard.index, shard.num_shards, clips_dir, cache, check=False)
            assert done.returncode == 1
            assert f"error: {cache}: another program is writing to this cache" in done.stderr
            assert (f"to clips of {shard}." in done.stderr) == (shard.num_shards > 1)
        for shard in allowed:
            done = extract_shard(shard.index, shard.num_shards, clips_dir, cache)
            assert "0 clips done" in done.stderr
    assert read_manifest(cache / "manifest.csv") == read_manifest(cache_dir / "manifest.csv")


def test_a_shard_leaves_the_half_written_clips_of_others(cache_dir, clips_dir, tmp_path):
    cache = shutil.copytree(cache_dir, tmp_path / "cache")
    halves = {}
    # Two of them are right in the folder of clips, one for each shard.
    for clip_id in [x.clip_id for x in read_manifest(cache / "manifest.csv")] + ["a", "b"]:
        path = cache.joinpath("clips", clip_id)
        halves[clip_id] = path.with_name(f".{path.name}.h5.tmp")
        halves[clip_id].write_bytes(b"half")
    extract_shard(1, 2, clips_dir, cache)
    for clip_id, half in halves.items():
        assert half.exists() != Shard(1, 2).holds(clip_id)


def test_failures_and_the_manifest_are_of_all_shards(cache_dir, clips_dir, tmp_path):
    data = shutil.copytree(clips_dir, tmp_path / "data")
    # The clips of two shards, one of each to be damaged.
    clips = read_manifest(cache_dir / "manifest.csv")
    folders = [x.clip_id for x in clips if not x.path.endswith(".mp4")]
    bad = [next(x for x in folders if Shard(i, 2).holds(x)) for i in range(2)]
    for clip_id in bad:
        (data / clip_id / "1.png").write_bytes(b"no picture")
    cache = tmp_path / "cache"

    def read_state():
        listed = {x.clip_id for x in read_manifest(cache / "manifest.csv")}
        return {*read_failures(cache)}, {x.clip_id for x in clips} - listed

    extract(data, cache, skip_unreadable=True, shard=Shard(0, 2))
    assert read_state() == ({bad[0]}, {bad[0]})
    extract(data, cache, shard=Shard(1, 2))  # the cache remembers the rest
    assert read_state() == (set(bad), set(bad))
    shutil.rmtree(data / bad[0])
    shutil.copytree(clips_dir / bad[0], data / bad[0])
    extract(data, cache, shard=Shard(0, 2))
    assert read_state() == ({bad[1]}, {bad[1]})


@pytest.mark.parametrize("is_more", [True, False])
def test_a_shard_leaves_the_list_of_one_that_began_later_on_other_clips(data, tmp_path, is_more):
    cache = tmp_path / "cache"
    folders = sorted(path.parent for path in data.glob("*/*/0.png"))
    held, other = (
        next(x for x in folders if Shard(index, 2).holds(x.relative_to(data).as_posix()))
        for index in range(2)
    )
    flags = [f"--data={data}", f"--cache_dir={cache}", "--num_shards=2", "--skip_unreadable"]
    flags += ["--val_fraction=0", "--test_fraction=0"]  # or other clips would draw other splits
    with contextlib.ExitStack() as held_back:
        held_back.enter_context(hold_back(held / "0.png"))
        with start_program("extract_features", *flags, *SMALL_BACKBONE) as extraction:
            extraction.wait_for_text("clips to extract")
            if is_more:
                shutil.copytree(other, other.with_name("clip_new"))
            else:
                shutil.rmtree(other)
            extract(data, cache, shard=Shard(1, 2))
            listed = read_manifest(cache / "manifest.csv")
            held_back.close()
            assert extraction.wait() == 0
            log = extraction.read_output()
    assert f"{cache}/manifest.csv: another shard has listed other clips, labels or splits" in log
    assert read_manifest(cache / "manifest.csv") == listed
    extract(data, cache, shard=Shard(0, 2))
    assert {x.clip_id for x in read_manifest(cache / "manifest.csv")} == {
        path.relative_to(cache / "clips").with_suffix("").as_posix()
        for path in (cache / "clips").rglob("*.h5")
    }


def test_changed_sources_of_another_shard_are_told(data, cache_copy, caplog):
    cache = cache_copy
    clip_ids = [x.clip_id for x in read_manifest(cache / "manifest.csv")]
    extract(data, cache)
    folders = [x for x in clip_ids if Shard(1, 2).holds(x) and (data / x).is_dir()]
    (data / folders[0] / "1.png").unlink()
    (cache / "clips" / f"{folders[1]}.h5").unlink()  # not there: training says so
    caplog.clear()
    extract(data, cache, shard=Shard(0, 2))
    told = [x.getMessage() for x in caplog.records if "other shards" in x.getMessage()]
    assert told == [
        f"{cache}: clips of other shards whose sources have changed since they were extracted: 1, "
        f"such as {folders[0]}. Run their shards too before you train: they extract them anew"
    ]
    extract(data, cache, shard=Shard(1, 2))
    caplog.clear()
    extract(data, cache, shard=Shard(0, 2))
    assert "other shards" not in caplog.text


@pytest.mark.parametrize(
    ("index", "num_shards", "text"),
    [
        (2, 2, "Expected a shard_index from 0 to num_shards - 1. Received: shard_index=2, num_s"),
        (1, 1, "Received: shard_index=1, num_shards=1. Correct one"),
        (-1, 2, "shard_index"),
        (0, 0, "num_shards"),
        ("a", 2, "shard_index"),
    ],
)
def test_there_is_no_such_shard(tmp_path, index, num_shards, text):
    done = extract_shard(index, num_shards, tmp_path, tmp_path / "cache", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "cache").exists()
