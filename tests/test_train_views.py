"""Several views of a frame: which of them training and evaluation read."""

import dataclasses
import shutil

import numpy as np
import pytest
from commands import read_clip_rows
from small_data import make_config, make_ramps, train, write_cache

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import read_json, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_manifest
from train_head.batches.clip_reader import ClipReader
from train_head.batches.feature_statistics import measure_features
from train_head.batches.input_pipeline import make_eval_dataset, make_train_dataset
from train_head.batches.padding import pad_clips
from train_head.head.run_model import load_model
from train_head.scores.evaluation import evaluate_run

LENGTHS = [9, 3, 12, 5, 1]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A cache of ten views: view v of frame t of clip i is [i, t, v]."""
    features = {}
    for i, length in enumerate(LENGTHS):
        t, v = np.indices((length, 10))
        maps = np.stack([np.full_like(t, i), t, v], axis=-1)
        features[Clip(f"clip_{i}", f"clip_{i}", f"class_{i}", "train")] = maps
    return write_cache(tmp_path_factory.mktemp("numbered") / "cache", features, views="ten_crop")


def make_reader(cache, *, memory_bytes=10**9):
    clip_ids = [clip.clip_id for clip in read_manifest(cache.manifest_path)]
    return ClipReader(cache, clip_ids, memory_bytes=memory_bytes)


def read_clips(dataset):
    """Returns the rows of all batches: (class id, [T, ...] without padding)."""
    rows = []
    for inputs, class_ids in dataset.as_numpy_iterator():
        masks = [...] * len(class_ids)
        if isinstance(inputs, dict):
            inputs, masks = inputs["feature_maps"], inputs["frame_mask"]
        rows += [(k, maps[mask]) for k, maps, mask in zip(class_ids, inputs, masks, strict=True)]
    return rows


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_training_takes_one_random_view_of_each_clip_and_epoch(numbered, sequence):
    class_ids = np.arange(len(LENGTHS), dtype=np.int32)

    def read_views_of_epochs(*, first=0, count=8, batch_size=2, memory_bytes=10**9, seed=0):
        config = make_config(sequence=sequence, batch_size=batch_size, seed=seed)
        reader = make_reader(numbered, memory_bytes=memory_bytes)
        dataset, steps = make_train_dataset(reader, class_ids, config, epoch=first)
        chosen = {}
        for number, (k, maps) in enumerate(read_clips(dataset.take(count * steps))):
            assert (maps[:, 0] == k).all()
            assert len(set(maps[:, 2])) == 1, "a view for all frames"
            chosen[first + number // len(LENGTHS), int(k)] = int(maps[0, 2])
        return chosen

    views = read_views_of_epochs()
    assert len(views) == 8 * len(LENGTHS)
    assert set(views.values()) == set(range(10))
    assert read_views_of_epochs(batch_size=3, memory_bytes=0) == views
    later = read_views_of_epochs(first=3, count=2)
    assert later == {key: view for key, view in views.items() if key[0] in (3, 4)}
    assert read_views_of_epochs(seed=1) != views


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
@pytest.mark.parametrize("num_views", [1, 10])
def test_evaluation_has_the_views_of_each_clip_in_order(numbered, sequence, num_views):
    config = make_config(sequence=sequence, batch_size=3)
    class_ids = np.arange(len(LENGTHS), dtype=np.int32)
    dataset = make_eval_dataset(make_reader(numbered), class_ids, config, num_views=num_views)
    found = [(int(k), *maps[0, [0, 2]].astype(int)) for k, maps in read_clips(dataset)]
    assert found == [(i, i, view) for i in range(len(LENGTHS)) for view in range(num_views)]
    assert dataset.cardinality().numpy() == -(-len(found) // 3)


def test_clips_are_kept_in_memory_where_all_their_views_fit(numbered, tmp_path):
    cache = read_cache(shutil.copytree(numbered.cache_dir, tmp_path / "cache"))
    size_bytes = sum(LENGTHS) * 10 * 3 * 2
    kept = make_reader(cache, memory_bytes=size_bytes)
    longest_not_kept = make_reader(cache, memory_bytes=size_bytes - 1)
    for reader in (kept, longest_not_kept):
        assert reader.read(2, np.array([2, 0, 0]), view=7)[:, 2].tolist() == [7, 7, 7]
    cache.clip_path("clip_2").unlink()
    assert kept.read(2, view=7).shape == (12, 3)
    with pytest.raises(FileNotFoundError, match=r"clip_2\.h5: not in the cache"):
        longest_not_kept.read(2, view=7)


def make_two_views(split, num_clips):
    """Makes ramps with a second view that shows something else."""
    return {
        clip: np.stack([maps, 0.5 * maps[:, ::-1] + 1], axis=1)
        for clip, maps in make_ramps(num_clips, split=split).items()
    }


def test_statistics_are_those_of_all_views(tmp_path):
    clips = make_two_views("train", 3)
    apart = {
        dataclasses.replace(clip, clip_id=f"{view}/{clip.clip_id}"): maps[:, view]
        for clip, maps in clips.items()
        for view in range(2)
    }
    found = measure_features(make_reader(write_cache(tmp_path / "two", clips, views="flip")))
    expected = measure_features(make_reader(write_cache(tmp_path / "apart", apart)))
    assert found.scale == pytest.approx(expected.scale)
    assert found.variance == pytest.approx(expected.variance)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-6)


def test_evaluation_averages_the_probabilities_over_views(tmp_path):
    clips = {**make_two_views("train", 4), **make_two_views("test", 4)}
    cache = write_cache(tmp_path / "cache", clips, views="flip")
    run = train(cache, tmp_path / "run", sequence="ragged", epochs=1)
    head = load_model(run)
    for first_view_only, batch_size in ((False, 100), (False, 3), (True, 3)):
        num_views = 1 if first_view_only else 2
        write_json(run.config_path, {**read_json(run.config_path), "batch_size": batch_size})
        how = {"first_view_only": first_view_only}
        scores = evaluate_run(run, cache, split="test", **how)
        assert (scores["num_clips"], scores["provenance"]["views"]) == (8, num_views)
        rows = read_clip_rows(run.predictions_path("test", **how))
        assert len(rows) == 8
        for clip_id, row in rows.items():
            views = [cache.read_clip(clip_id, view=v).feature_maps for v in range(num_views)]
            maps, mask = pad_clips(views)
            logits = head({"feature_maps": maps, "frame_mask": mask}).numpy()
            expected = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).mean(axis=0)
            assert float(row["fall"]) == pytest.approx(expected[0], abs=2e-5)
