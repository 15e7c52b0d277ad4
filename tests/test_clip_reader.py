"""Which clips stay in memory once they were read."""

import numpy as np
import pytest
from refusals import refusal
from small_data import write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.clips.clip import Clip, SourceStat
from train_head.batches import clip_reader
from train_head.batches.clip_reader import ClipReader


def write_clip(cache, num_frames, *, compression="gzip", source_bytes=0):
    writer = cache.open_writer("clip_0", compression=compression)
    writer.append(
        np.ones((num_frames, 5), np.float16),
        frame_index=[*range(num_frames)],
        timestamp_sec=[float("nan")] * num_frames,
    )
    writer.commit(SourceStat(source_bytes, mtime_ns=0))


def test_reader_keeps_the_shortest_clips_that_fit(tmp_path):
    lengths = [4, 2, 3]
    clips = [Clip(f"clip_{i}", f"clip_{i}", "a", "train") for i in range(len(lengths))]
    maps = {clip: np.ones((n, 5)) for clip, n in zip(clips, lengths, strict=True)}
    cache = write_cache(tmp_path / "cache", maps)
    clip_ids = [clip.clip_id for clip in clips]
    two_clips_bytes = (2 + 3) * 5 * 2
    reader = ClipReader(cache, clip_ids, memory_bytes=two_clips_bytes)
    none_but_shortest = ClipReader(cache, clip_ids, memory_bytes=two_clips_bytes - 1)
    for i in range(len(clips)):
        reader.read(i, np.array([0]))
        none_but_shortest.read(i)
        cache.clip_path(f"clip_{i}").unlink()
    assert reader.read(2, np.array([2, 0, 0])).shape == (3, 5)
    assert reader.read(1).shape == none_but_shortest.read(1).shape == (2, 5)
    for not_kept in (lambda: reader.read(0), lambda: none_but_shortest.read(2)):
        with pytest.raises(FileNotFoundError, match=r"h5: not in the cache\. To have it, run"):
            not_kept()
    reader.release()
    with pytest.raises(FileNotFoundError, match=r"clip_1\.h5: not in the cache"):
        reader.read(1)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_clip_that_was_extracted_anew_with_other_frames_is_refused(tmp_path, compression):
    clip = Clip("clip_0", "clip_0", "a", "train")
    cache = write_cache(tmp_path / "cache", {clip: np.ones((4, 5))})
    reader = ClipReader(cache, ["clip_0"], memory_bytes=0)
    assert reader.read(0).shape == (4, 5)
    for num_frames in (1, 6):
        write_clip(cache, num_frames, compression=compression)
        found = f"{num_frames} frames, 4 when this program started"
        for out in (None, np.empty((4, 5), np.float16)):
            with refusal(f"{cache.clip_path('clip_0')}: {found}"):
                reader.read(0, out=out)


@pytest.mark.parametrize("num_frames", [2, 4, 6])
@pytest.mark.parametrize("is_known", [False, True], ids=["new", "read before"])
def test_a_clip_of_another_source_than_before_is_refused(tmp_path, num_frames, is_known):
    clip = Clip("clip_0", "clip_0", "a", "train")
    cache = write_cache(tmp_path / "cache", {clip: np.ones((4, 5))})
    reader = ClipReader(cache, ["clip_0"], memory_bytes=0)
    if is_known:  # where its frames lie, too
        reader.read(0)
    write_clip(cache, num_frames, source_bytes=1)
    told = f"{cache.clip_path('clip_0')}: made of another source than when this program started"
    with refusal(told):
        reader.read(0, np.array([0, 3]))
    # What is told of a score is of what it was made of.
    assert cache.digest_sources(["clip_0"]) != read_cache(cache.cache_dir).digest_sources(
        ["clip_0"]
    )


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("memory_bytes", [0, 2**20])
def test_clips_are_read_side_by_side_each_into_its_place(
    tmp_path, monkeypatch, num_threads, memory_bytes
):
    monkeypatch.setattr(clip_reader, "_THREADS_A_BATCH", num_threads)
    clips = [Clip(f"clip_{i}", f"clip_{i}", "a", "train") for i in range(5)]
    maps = {x: np.random.default_rng(i).random((i + 1, 5)) for i, x in enumerate(clips)}
    cache = write_cache(tmp_path / "cache", maps)
    reader = ClipReader(cache, [x.clip_id for x in clips], memory_bytes=memory_bytes)
    chosen = [(i, None if i % 2 else np.array([i, 0, i]), 0) for i in (4, 1, 1, 0, 2, 3, 4)]
    for _ in range(2):  # the second time they are kept, or it is known where their frames lie
        outs = [np.full((i + 1 if f is None else 3, 5), -1, np.float16) for i, f, _ in chosen]
        reader.read_many(chosen, outs)
        for out, (i, frames, _) in zip(outs, chosen, strict=True):
            expected = maps[clips[i]].astype(np.float16)
            np.testing.assert_array_equal(out, expected if frames is None else expected[frames])
    # Read by the second of three threads alone.
    cache.clip_path("clip_2").unlink()
    reader.release()
    with pytest.raises(FileNotFoundError, match=r"clip_2\.h5: not in the cache"):
        reader.read_many(chosen, outs)


@pytest.mark.parametrize("memory_bytes", [0, 2**20])
def test_frames_that_are_not_there_are_no_others(tmp_path, memory_bytes):
    clip = Clip("clip_0", "clip_0", "a", "train")
    cache = write_cache(tmp_path / "cache", {clip: np.ones((4, 5))})
    reader = ClipReader(cache, ["clip_0"], memory_bytes=memory_bytes)
    assert reader.read(0).shape == (4, 5)
    with pytest.raises((IndexError, ValueError), match=r"Expected frames|out of bounds"):
        reader.read(0, np.array([0, 4]), out=np.empty((2, 5), np.float16))
    for frames in (None, np.array([1])):
        with pytest.raises(ValueError):
            reader.read(0, frames, out=np.empty((3, 5), np.float16))
