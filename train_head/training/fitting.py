"""Training one model: its devices and dtypes, the epochs, and the file that it ends as."""

import math
import shutil

import numpy as np
from absl import logging

from lrcn.common.files.atomic_file import replace_file
from lrcn.common.programs.devices import choose_training_policy, make_strategy
from lrcn.common.programs.wording import name_count
from train_head.batches.batch_plan import count_batches, plan_epoch
from train_head.batches.clip_reader import raise_read_errors
from train_head.batches.input_pipeline import make_eval_dataset, make_train_dataset
from train_head.batches.split_reader import TrainingSplits
from train_head.head.layers import keras, tf
from train_head.head.optimizer import build_optimizer
from train_head.head.run_model import release_variables
from train_head.run.config import TrainConfig
from train_head.training.counted_accuracy import CountedAccuracy
from train_head.training.epoch_progress import EpochProgress
from train_head.training.layer_table import format_layers
from train_head.training.loss_guard import LossGuard
from train_head.training.recorder import RunRecorder

_LEARNT_TOP1 = 0.95  # of train clips, of whose features dropout hides half
_THROWN_PART = 2.0  # of the loss of a guess among all classes


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


def fit_model(
    model,
    config: TrainConfig,
    splits: TrainingSplits,
    *,
    strategy: tf.distribute.Strategy,
    recorder: RunRecorder,
    summary: bool,
) -> list[np.ndarray]:
    """Trains what is trainable of the model, which has no weights afterwards.

    Args:
        model: From features as the splits' readers give them to logits, made under the strategy.
        config: Of this phase: its epochs, batches and optimizer.
        splits: The clips.
        strategy: From `make_checked_strategy`.
        recorder: Knows the epochs that are done.
        summary: Log every layer's output shape for the first batch.

    Returns:
        The weights of the best epoch, as `get_weights` gives them.

    Raises:
        ValueError: If a clip is damaged or the loss stops being finite.
    """
    train, val = splits
    num_devices = strategy.num_replicas_in_sync
    with strategy.scope():
        _compile(model, config, num_clips=len(train.reader))
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

    guard = LossGuard(find_batch)
    # At least one epoch is left to do, as a checkpoint is never of the last one.
    with raise_read_errors(train.reader, val.reader), recorder.report_stop():
        if summary:
            inputs = next(iter(dataset))[0]
            logging.info("Layers, for the first batch:\n%s", format_layers(model, inputs))
        with EpochProgress() as progress:
            model.fit(
                dataset,
                initial_epoch=first_epoch,
                epochs=last_epoch,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the plan of the dataset shuffles
                validation_data=val_dataset,
                callbacks=[
                    guard,
                    keras.callbacks.TensorBoard(recorder.run.logs_path, write_graph=False),
                    progress,  # before the recorder, which tells of the epoch in its place
                    recorder,
                ],
                verbose=0,
            )
        if val_dataset is None:
            guard.check_end(next(iter(dataset))[0])
    chosen_as = "the last" if val_dataset is None else "the last of those with the highest val_top1"
    logging.info("Keeping epoch %d, %s", recorder.best_row()["epoch"], chosen_as)
    _tell_if_unlearnt(recorder, config, num_classes=model.output.shape[-1])
    with strategy.scope():
        release_variables([*model.variables, *model.optimizer.variables])
    # Functions of a dataset are kept like those of a step, and with them the readers.
    for reader in (train.reader, val.reader):
        reader.release()
    return recorder.best_weights


def save_model(model, recorder: RunRecorder) -> None:
    """Writes the trained model, which ends the run. Errors as `RunRecorder.check_folder`."""
    recorder.check_folder()
    run = recorder.run
    with replace_file(run.model_path, keep_ending=True) as temporary:
        model.save(temporary)
    # The run has ended: what cannot be removed, or is gone, changes nothing.
    shutil.rmtree(run.checkpoints_path, ignore_errors=True)


def choose_policy(config: TrainConfig) -> str:
    """Chooses Keras' dtype policy of the FC layer; without one there is nothing to choose."""
    is_mixed = config.mixed_precision and config.fc_units
    return choose_training_policy() if is_mixed else "float32"


def _tell_if_unlearnt(recorder: RunRecorder, config: TrainConfig, *, num_classes: int) -> None:
    """Tells of a head whose steps were too few, or far too large, to learn what the order of train
    clips says.
    """
    last = recorder.rows[-1]
    reads_order = config.rnn != "none" and config.frame_order == "forward"
    # Not of fine-tuning's second phase, whose small steps are meant.
    ended = last["phase"] == 1 and last["epoch"] == config.epochs
    if reads_order and ended and last["top1"] < _LEARNT_TOP1:
        # Small steps stay near the loss of who knows nothing. Large ones end in certain nonsense.
        advice = "a higher --learning_rate or more --epochs"
        if last["loss"] > _THROWN_PART * math.log(num_classes):
            reason = f"the loss of {last['loss']:.3g} is far above that of a guess"
            advice = f"a lower --learning_rate ({reason})"
        logging.info(
            "The train clips are not learnt yet: top1 %.3f in the last epoch. If the score is low, "
            "%s may help",
            last["top1"],
            advice,
        )


def _compile(model, config: TrainConfig, *, num_clips: int) -> None:
    if config.recurrent_dropout and config.rnn != "none":
        logging.info("Recurrent dropout switches the fused cuDNN kernel off: slower on a GPU")
    policy = choose_policy(config)
    if config.mixed_precision and config.fc_units:
        slower = "" if policy != "float32" else ": this CPU is not faster with less"
        logging.info("Mixed precision: the FC layer computes in %s%s", policy, slower)
    if config.batch_size > num_clips:
        logging.warning(
            "The batch of %d is larger than the %s, so an epoch is one step. Lower "
            "--batch_size for more steps.",
            config.batch_size,
            name_count(num_clips, "train clip"),
        )
    model.compile(
        optimizer=build_optimizer(
            config,
            steps_per_epoch=count_batches(num_clips, config),
            dtype_policy=policy,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[CountedAccuracy(name="top1")],
        jit_compile=False,  # batches differ in length
    )
    # A step that makes the optimizer's variables is traced twice, which takes longer than to train
    # on a small set.
    model.optimizer.build(model.trainable_variables)
