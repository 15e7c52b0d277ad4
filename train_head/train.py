"""Stage 2 as one function: from a cache to a run."""

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.atomic_file import commit_file
from lrcn.common.clip import Clip
from lrcn.common.devices import choose_training_policy, make_strategy
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.manifest import find_class_ids, read_class_names
from lrcn.common.run_dir import RunDir
from train_head.batch_plan import count_batches, plan_epoch
from train_head.config import TrainConfig
from train_head.input_pipeline import (
    ClipReader,
    make_eval_dataset,
    make_train_dataset,
    raise_read_errors,
)
from train_head.layer_table import format_layers
from train_head.loss_guard import LossGuard
from train_head.model import build_head, keras
from train_head.normalization import measure_features
from train_head.optimizer import build_optimizer
from train_head.recorder import RunRecorder
from train_head.run_clips import read_run_clips
from train_head.run_start import start_run


def train_run(
    config: TrainConfig,
    *,
    cache: FeatureCache,
    run: RunDir,
    checkpoint_sec: float,
    manifest_path: Path | None = None,
    devices: str = "1",
    summary: bool = False,
) -> None:
    """Trains a head on the train clips and leaves a whole run.

    A run that has ended is left as it is; one that was cut off goes on after its last checkpoint.
    The best epoch is chosen on the val clips (of several views of a frame on the first), test clips
    are never read.

    Args:
        config: The settings.
        cache: A cache that holds all of its clips.
        run: Where the run goes, made where there is none.
        checkpoint_sec: Seconds between checkpoints.
        manifest_path: The clips and their splits, see `read_run_clips`; None takes the cache's.
        devices: How many devices share each batch, or `all`.
        summary: Log every layer's output shape for the first batch.

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        ValueError: If the clips or devices do not allow training, the folder holds a run of other
            settings or clips, or the loss stops being finite.
    """
    strategy = make_strategy(devices)
    num_devices = strategy.num_replicas_in_sync
    if config.batch_size % num_devices:
        raise ValueError(
            f"Expected a --batch_size that {num_devices} devices can share equally. Received: "
            f"{config.batch_size}. Take a multiple of {num_devices}."
        )
    manifest_path = cache.manifest_path if manifest_path is None else manifest_path
    clips = read_run_clips(cache, manifest_path)
    class_names = read_class_names(cache.classes_path)
    if start_run(
        run,
        config=config,
        cache=cache,
        manifest_path=manifest_path,
        clips=clips,
        class_names=class_names,
    ):
        logging.info("%s: trained already", run.path)
        return
    keras.utils.set_random_seed(config.seed)
    train_reader, train_ids = _read_split(clips, "train", cache=cache, class_names=class_names)
    val_reader, val_ids = _read_split(clips, "val", cache=cache, class_names=class_names)
    build = functools.partial(
        build_head,
        config,
        feature_shape=train_reader.feature_shape,
        num_classes=len(class_names),
        statistics=measure_features(train_reader),
    )
    recorder = RunRecorder(
        run, patience=config.patience, seed=config.seed, checkpoint_sec=checkpoint_sec
    )
    with strategy.scope():
        model = _build_compiled_head(
            config, build, num_clips=len(train_reader), num_devices=num_devices
        )
        first_epoch = recorder.restore(model)
    dataset, steps_per_epoch = make_train_dataset(
        train_reader, train_ids, config, epoch=first_epoch, num_devices=num_devices
    )
    val_dataset = None
    if len(val_ids):
        val_dataset = make_eval_dataset(val_reader, val_ids, config, num_devices=num_devices)

    def find_batch(epoch: int, step: int) -> list[str]:
        draws = plan_epoch(train_reader.num_frames, train_ids, config, epoch=epoch)[step]
        return [train_reader.clip_ids[draw % len(train_reader)] for draw in draws]

    if first_epoch < config.epochs and not recorder.is_finished():
        with raise_read_errors(train_reader, val_reader):
            if summary:
                inputs = next(iter(dataset))[0]
                logging.info("Layers, for the first batch:\n%s", format_layers(model, inputs))
            model.fit(
                dataset,
                initial_epoch=first_epoch,
                epochs=config.epochs,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the plan of the dataset shuffles
                validation_data=val_dataset,
                callbacks=[
                    LossGuard(find_batch, steps_per_epoch=steps_per_epoch),
                    keras.callbacks.TensorBoard(run.logs_path, write_graph=False),
                    recorder,
                ],
                verbose=0,
            )
    model.set_weights(recorder.best_weights)
    chosen_as = "the last" if val_dataset is None else "the best on val"
    logging.info("Keeping epoch %d, %s", recorder.best_row()["epoch"], chosen_as)
    _save_model(build(), model.get_weights(), run)
    # TensorFlow keeps a dataset's functions, and with them the reader, for as long as the process
    # lives; the clips of several runs would add up.
    for reader in (train_reader, val_reader):
        reader.release()


def _read_split(clips: list[Clip], split: str, *, cache: FeatureCache, class_names: list[str]):
    chosen = [clip for clip in clips if clip.split == split]
    reader = ClipReader(
        cache, [clip.clip_id for clip in chosen], memory_bytes=_find_memory_budget()
    )
    return reader, np.array(find_class_ids(chosen, class_names), np.int32)


def _find_memory_budget() -> int:
    # For the train and the val clips each, so together at most a third of the memory.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 6


def _build_compiled_head(config: TrainConfig, build: Callable, *, num_clips: int, num_devices: int):
    policy = "float32"
    if config.mixed_precision:
        policy = choose_training_policy()
        slower = "" if policy != "float32" else ": this CPU is not faster with less"
        logging.info("Mixed precision: the FC layer computes in %s%s", policy, slower)
    if config.recurrent_dropout and config.rnn != "none":
        logging.info("Recurrent dropout switches the fused cuDNN kernel off: slower on a GPU")
    if config.batch_size > num_clips:
        logging.warning(
            "The batch of %d is larger than the %d train clips, so an epoch is one step. Lower "
            "--batch_size for more steps.",
            config.batch_size,
            num_clips,
        )
    model = build(dtype_policy=policy)
    model.compile(
        optimizer=build_optimizer(
            config,
            steps_per_epoch=count_batches(num_clips, config),
            dtype_policy=policy,
            num_devices=num_devices,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Weighted like the loss, where clips have weights.
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="top1")],
        jit_compile=False,  # batches differ in length
    )
    return model


def _save_model(model, weights: list[np.ndarray], run: RunDir) -> None:
    # Not the compiled model: the file is for use on any device, and without the optimizer's
    # state a third of the size.
    model.set_weights(weights)
    temporary = run.path / ".tmp.keras"
    model.save(temporary)
    commit_file(temporary, run.model_path)
    shutil.rmtree(run.checkpoints_path)
