"""What training a head is: statistics, the model, its epochs, and the file that they end as."""

import functools

from absl import logging

from lrcn.common.programs.wording import name_count
from train_head.batches.batch_plan import count_batches
from train_head.batches.feature_statistics import measure_features
from train_head.batches.split_reader import read_training_splits
from train_head.batches.step_memory import check_longest_clip, check_memory
from train_head.head.layers import keras, tf
from train_head.head.model import build_head
from train_head.head.optimizer import choose_learning_rate
from train_head.head.vgg16 import rebuild_top
from train_head.run.config import TrainConfig
from train_head.run.training_data import TrainingData
from train_head.training.fitting import choose_policy, fit_model, save_model
from train_head.training.recorder import RunRecorder


def fit_head(
    config: TrainConfig,
    data: TrainingData,
    *,
    strategy: tf.distribute.Strategy,
    recorder: RunRecorder,
    summary: bool,
) -> None:
    """Trains the head of a run that was started, and writes its model.

    Args:
        config: The settings.
        data: What it is trained on.
        strategy: From `fitting.make_checked_strategy`.
        recorder: Knows the run and its epochs that are done.
        summary: Log every layer's output shape for the first batch.

    Raises:
        FileNotFoundError: If VGG16's weights are missing.
        MemoryError: If a batch, or the weights, are larger than the memory.
        ValueError: If they are not the cache's, a val clip is larger than the memory, a clip is
            damaged or the loss stops being finite.
    """
    run, cache = recorder.run, data.cache
    top = rebuild_top(cache.contract, data.weights, where=cache.contract_path)
    splits = read_training_splits(run, cache, config, top=top)
    reader = splits.train.reader
    check_memory(reader, config)
    check_longest_clip(splits.val.reader, config)
    num_steps = count_batches(len(reader), config)
    logging.info(
        "%s and %s, %s an epoch, at most %s, learning rate %.3g",
        name_count(len(reader), "train clip"),
        name_count(len(splits.val.reader), "val clip"),
        name_count(num_steps, "step"),
        name_count(config.epochs, "epoch"),
        choose_learning_rate(config, num_steps),
    )
    build = functools.partial(
        build_head,
        config,
        feature_shape=reader.feature_shape,
        num_classes=len(run.read_class_names()),
        statistics=measure_features(reader),
    )
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        model = build(dtype_policy=choose_policy(config))
    weights = fit_model(
        model, config, splits, strategy=strategy, recorder=recorder, summary=summary
    )
    # Not the compiled model: the file is for use on any device, and without the optimizer's
    # state a third of the size.
    finished = build(top=None if top is None else top.model)
    top_weights = [] if top is None else top.model.get_weights()
    finished.set_weights(top_weights + weights)
    save_model(finished, recorder)
