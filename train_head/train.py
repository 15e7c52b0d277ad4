"""Stage 2 as one function: from a cache to a run."""

import functools
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from lrcn.common.atomic_file import commit_file
from lrcn.common.devices import choose_training_policy, make_strategy
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.manifest import find_class_ids, read_class_names, read_manifest
from lrcn.common.run_dir import RunDir
from train_head.batch_plan import count_batches, plan_epoch
from train_head.clip_reader import ClipReader, raise_read_errors
from train_head.config import TrainConfig
from train_head.frame_accuracy import LabelledFrameAccuracy
from train_head.frame_labels import read_run_labels
from train_head.input_pipeline import ClassIds, make_eval_dataset, make_train_dataset
from train_head.layer_table import format_layers
from train_head.loss_guard import LossGuard
from train_head.model import build_head, keras, tf
from train_head.normalization import measure_features
from train_head.optimizer import build_optimizer
from train_head.recorder import RunRecorder
from train_head.run_start import start_run
from train_head.vgg16 import FrozenTop, rebuild_top


class Split(NamedTuple):
    """The clips of one split: their reader, and the class ids of them or of their frames."""

    reader: ClipReader
    class_ids: ClassIds


def train_run(
    config: TrainConfig,
    *,
    cache: FeatureCache,
    run: RunDir,
    checkpoint_sec: float,
    manifest_path: Path | None = None,
    frame_labels_path: Path | None = None,
    weights: str | None = None,
    devices: str = "1",
    summary: bool = False,
) -> None:
    """Trains a head on the train clips and leaves a whole run.

    A run that has ended is left as it is; one that was cut off goes on after its last checkpoint.
    The best epoch is chosen on the val clips (of several views of a frame on the first), test clips
    are never read. Layers of VGG16 above the cut stay what they are: the head is trained on their
    output, and the run's model has both.

    Args:
        config: The settings.
        cache: A cache that holds all of its clips.
        run: Where the run goes, made where there is none.
        checkpoint_sec: Seconds between checkpoints.
        manifest_path: The clips and their splits, see `read_run_clips`; None takes the cache's.
        frame_labels_path: With a label for every frame, where these are, see `frame_labels`; None
            takes those that the run has.
        weights: Where VGG16's weights are now, None for where the cache found them. Needed only
            where layers lie above the cut.
        devices: How many devices share each batch, or `all`.
        summary: Log every layer's output shape for the first batch.

    Raises:
        FileNotFoundError: If clips are missing from the cache, or the weights.
        ValueError: If the clips, labels or devices do not allow training, the folder holds a run of
            other settings, clips or labels, the weights are not the cache's, or the loss stops
            being finite.
    """
    strategy = make_checked_strategy(config, devices)
    if start_run(
        run,
        config=config,
        cache=cache,
        manifest_path=manifest_path,
        frame_labels_path=frame_labels_path,
    ):
        return
    top = rebuild_top(cache.contract, weights, where=cache.cache_dir / "cache.json")
    train, val = (read_split(run, cache, name, config, top=top) for name in ("train", "val"))
    build = functools.partial(
        build_head,
        config,
        feature_shape=train.reader.feature_shape,
        num_classes=len(read_class_names(run.classes_path)),
        statistics=measure_features(train.reader),
    )
    recorder = RunRecorder(
        run, patience=config.patience, seed=config.seed, checkpoint_sec=checkpoint_sec
    )
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        model = build(dtype_policy=choose_policy(config))
    fit_model(
        model,
        config,
        strategy=strategy,
        train=train,
        val=val,
        recorder=recorder,
        summary=summary,
    )
    # Not the compiled model: the file is for use on any device, and without the optimizer's
    # state a third of the size.
    finished = build(top=None if top is None else top.model)
    top_weights = [] if top is None else top.model.get_weights()
    finished.set_weights(top_weights + model.get_weights())
    save_model(finished, run)


def fit_model(
    model,
    config: TrainConfig,
    *,
    strategy: tf.distribute.Strategy,
    train: Split,
    val: Split,
    recorder: RunRecorder,
    summary: bool,
) -> None:
    """Trains what is trainable of the model and leaves it with the weights of the best epoch.

    Args:
        model: From features as the splits' readers give them to logits, made under the strategy.
        config: Of this phase: its epochs, batches and optimizer.
        strategy: From `make_checked_strategy`.
        train: The clips that it learns from.
        val: The clips that the best epoch is chosen on; may be empty.
        recorder: Knows the epochs that are done.
        summary: Log every layer's output shape for the first batch.

    Raises:
        ValueError: If a clip is damaged or the loss stops being finite.
    """
    num_devices = strategy.num_replicas_in_sync
    with strategy.scope():
        _compile(model, config, num_clips=len(train.reader), num_devices=num_devices)
        first_epoch = recorder.restore(model)
    last_epoch = recorder.num_first_phase + config.epochs
    dataset, steps_per_epoch = make_train_dataset(
        *train, config, epoch=first_epoch, num_devices=num_devices
    )
    val_dataset = None
    if len(val.reader):
        val_dataset = make_eval_dataset(*val, config, num_devices=num_devices)

    def find_batch(epoch: int, step: int) -> list[str]:
        draws = plan_epoch(train.reader.num_frames, train.class_ids, config, epoch=epoch)[step]
        return [train.reader.clip_ids[draw % len(train.reader)] for draw in draws]

    if first_epoch < last_epoch and not recorder.is_finished():
        with raise_read_errors(train.reader, val.reader), recorder.report_stop():
            if summary:
                inputs = next(iter(dataset))[0]
                logging.info("Layers, for the first batch:\n%s", format_layers(model, inputs))
            model.fit(
                dataset,
                initial_epoch=first_epoch,
                epochs=last_epoch,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the plan of the dataset shuffles
                validation_data=val_dataset,
                callbacks=[
                    LossGuard(find_batch, steps_per_epoch=steps_per_epoch),
                    keras.callbacks.TensorBoard(recorder.run.logs_path, write_graph=False),
                    recorder,
                ],
                verbose=0,
            )
    model.set_weights(recorder.best_weights)
    chosen_as = "the last" if val_dataset is None else "the best on val"
    logging.info("Keeping epoch %d, %s", recorder.best_row()["epoch"], chosen_as)
    # TensorFlow keeps a dataset's functions, and with them the reader, for as long as the process
    # lives; the clips of several runs would add up.
    for reader in (train.reader, val.reader):
        reader.release()


def make_checked_strategy(config: TrainConfig, devices: str) -> tf.distribute.Strategy:
    """Makes the strategy over so many devices, or `all`.

    Raises:
        ValueError: If there are fewer, or they cannot share a batch equally.
    """
    strategy = make_strategy(devices)
    num_devices = strategy.num_replicas_in_sync
    if config.batch_size % num_devices:
        raise ValueError(
            f"Expected a --batch_size that {num_devices} devices can share equally. Received: "
            f"{config.batch_size}. Take a multiple of {num_devices}."
        )
    return strategy


def read_split(
    run: RunDir,
    cache: FeatureCache,
    name: str,
    config: TrainConfig,
    *,
    top: FrozenTop | None = None,
) -> Split:
    """Makes a split of a started run ready, with the top's features in place of the cached ones."""
    clips = [clip for clip in read_manifest(run.manifest_path) if clip.split == name]
    reader = ClipReader(
        cache, [clip.clip_id for clip in clips], memory_bytes=_find_memory_budget(), top=top
    )
    if config.labels == "frame":
        return Split(reader, list(read_run_labels(run, cache, clips).class_ids.values()))
    class_names = read_class_names(run.classes_path)
    return Split(reader, np.array(find_class_ids(clips, class_names), np.int32))


def choose_policy(config: TrainConfig) -> str:
    """Chooses Keras' dtype policy of the FC layer, and says so where it is mixed."""
    if not config.mixed_precision:
        return "float32"
    policy = choose_training_policy()
    slower = "" if policy != "float32" else ": this CPU is not faster with less"
    logging.info("Mixed precision: the FC layer computes in %s%s", policy, slower)
    return policy


def save_model(model, run: RunDir) -> None:
    """Writes the trained model, which ends the run."""
    temporary = run.path / ".tmp.keras"
    model.save(temporary)
    commit_file(temporary, run.model_path)
    shutil.rmtree(run.checkpoints_path)


def _find_memory_budget() -> int:
    # For the train and the val clips each, so together at most a third of the memory.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 6


def _compile(model, config: TrainConfig, *, num_clips: int, num_devices: int) -> None:
    if config.recurrent_dropout and config.rnn != "none":
        logging.info("Recurrent dropout switches the fused cuDNN kernel off: slower on a GPU")
    if config.batch_size > num_clips:
        logging.warning(
            "The batch of %d is larger than the %d train clips, so an epoch is one step. Lower "
            "--batch_size for more steps.",
            config.batch_size,
            num_clips,
        )
    of_frames = config.labels == "frame"
    accuracy = LabelledFrameAccuracy if of_frames else keras.metrics.SparseCategoricalAccuracy
    model.compile(
        optimizer=build_optimizer(
            config,
            steps_per_epoch=count_batches(num_clips, config),
            dtype_policy=choose_policy(config),
            num_devices=num_devices,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Weighted like the loss, where clips have weights.
        weighted_metrics=[accuracy(name="top1")],
        jit_compile=False,  # batches differ in length
    )
