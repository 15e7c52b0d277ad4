"""Tests that a loss or an answer that is not finite ends training, and is said with its place."""

import numpy as np
import pytest
from refusals import refusal
from small_data import make_config, make_ramps, train, write_cache

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import read_manifest
from train_head.batches.batch_plan import plan_epoch
from train_head.head.layers import keras
from train_head.training.loss_guard import LossGuard

DIVERGING = {"learning_rate": 1e38, "clipnorm": 0.0, "optimizer": "sgd", "rnn": "none"}

KEPT = "The run of the epochs before stays. Name another folder (--run_dir, or"


@pytest.mark.parametrize(
    ("num_clips", "epoch", "step", "num_steps"), [(20, 1, 2, 3), (48, 2, 1, 1)]
)
def test_loss_that_is_not_finite_ends_training_at_its_step_with_its_clips(
    tmp_path, num_clips, epoch, step, num_steps
):
    cache = write_cache(tmp_path / "cache", make_ramps(24, split="train"))
    # The first step breaks the weights, so the second has no loss.
    with pytest.raises(
        ValueError,
        match=rf"^epoch {epoch}, step {step} of {num_steps}: the loss is (nan|inf), at a learning "
        r"rate of \d\S*\. Expected a finite number\. Lower --learning_rate.* Clips of this batch: ",
    ) as error:
        train(cache, tmp_path / "run", **DIVERGING, batch_size=num_clips)
    clips = read_manifest(cache.manifest_path)
    lengths = np.array([cache.count_frames(clip.clip_id) for clip in clips])
    config = make_config(**DIVERGING, batch_size=num_clips)
    batch = plan_epoch(lengths, np.zeros(len(clips)), config, epoch=epoch - 1)[step - 1]
    named = ", ".join(clips[i].clip_id for i in batch[:16])
    assert str(error.value).endswith(f"Clips of this batch: {named} and {num_clips - 16} more.")
    assert not (tmp_path / "run" / "model.keras").exists()
    # Settings that the message asks for are not those of a run that stays.
    assert (tmp_path / "run").exists() == (epoch > 1) == (KEPT in str(error.value))


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_batch_of_no_more_clips_than_are_named_is_named_whole(loss):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd")
    guard = LossGuard(lambda epoch, step: [f"c{i}" for i in range(16)])
    guard.set_params({"steps": 1})
    guard.set_model(model)
    guard.on_train_batch_end(0, {"loss": 1e30})
    with refusal("c13, c14, c15.") as error:
        guard.on_train_batch_end(0, {"loss": loss})
    assert f"the loss is {loss}, at a learning rate of 0.01." in str(error.value)


def test_val_loss_that_is_not_finite_is_an_error(ramps, tmp_path):
    # One step in the epoch: the loss before it is finite, what it leaves behind is not.
    with pytest.raises(ValueError, match=r"epoch 1: the val_loss is (nan|inf)\."):
        train(
            ramps,
            tmp_path / "run",
            **DIVERGING,
            batch_size=1000,
            epochs=1,
        )


def test_answers_that_are_not_finite_after_the_last_step_are_an_error(tmp_path):
    cache = write_cache(tmp_path / "cache", make_ramps(2, split="train"))
    run = RunDir(tmp_path / "run")
    text = "epoch 1: after its last step the head's answers are not finite. Expected"
    with refusal(text) as error:
        train(cache, run.path, **DIVERGING, epochs=1)
    assert not run.model_path.exists()
    assert run.history_path.exists() and KEPT in str(error.value)
