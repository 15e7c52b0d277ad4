"""Caches and weights that cannot be fine-tuned are refused."""

import shutil

import pytest
from small_data import SMALL_CONFIG, fine_tune, make_ramps, write_cache
from small_vgg16 import write_other_weights

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir
from train_head.run.training_data import TrainingData
from train_head.training.train import train_run


def test_cache_with_another_cut_is_refused_with_the_command_for_the_right_one(
    cache_dir, clips_dir, tmp_path
):
    folder = tmp_path / "a cache"
    shutil.copytree(cache_dir, folder)
    with pytest.raises(
        ValueError, match=r"a cache: cut at block5_pool\. Expected a cache cut"
    ) as e:
        fine_tune(read_cache(folder), tmp_path / "run")
    assert (
        f"python -m extract_features '--data={folder}/manifest.csv' --data_root={clips_dir} "
        f"'--cache_dir={folder}_block4_pool' --cut=block4_pool --weights=random --image_size=32 "
        "--compute_dtype=float32 --views=one --frame_stride=1 --max_frames=0\n" in str(e.value)
    )
    assert not (tmp_path / "run").exists()


def test_imported_features_are_refused(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    with pytest.raises(ValueError, match=r"cache: holds features imported from .*Expected a cache"):
        fine_tune(cache, tmp_path / "run")


def test_other_weights_are_refused(block4_dir, tmp_path):
    weights = write_other_weights(tmp_path / "other.weights.h5", "block5_conv2")
    cache = read_cache(block4_dir)
    with pytest.raises(ValueError, match=r"cache\.json: made with weights_sha256=.*as --weights\."):
        train_run(
            SMALL_CONFIG,
            TrainingData(cache, weights=str(weights)),
            run=RunDir(tmp_path / "run"),
            checkpoint_sec=60,
        )
