"""Stage 2 as one function: from a cache to a run."""

import functools

from lrcn.common.manifest import read_class_names
from lrcn.common.run_dir import RunDir
from train_head.config import TrainConfig
from train_head.fitting import choose_policy, fit_model, make_checked_strategy, save_model
from train_head.layers import keras
from train_head.model import build_head
from train_head.normalization import measure_features
from train_head.recorder import RunRecorder
from train_head.run_start import open_run
from train_head.split_reader import read_training_splits
from train_head.training_data import TrainingData
from train_head.vgg16 import rebuild_top


def train_run(
    config: TrainConfig,
    data: TrainingData,
    *,
    run: RunDir,
    checkpoint_sec: float,
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
        data: What it is trained on.
        run: Where the run goes, made where there is none.
        checkpoint_sec: Seconds between checkpoints.
        devices: How many devices share each batch, or `all`.
        summary: Log every layer's output shape for the first batch.

    Raises:
        FileNotFoundError: If clips are missing from the cache, or the weights.
        RuntimeError: If another process trains the run.
        ValueError: If the clips, labels or devices do not allow training, the folder holds a run of
            other settings, clips or labels, the weights are not the cache's, or the loss stops
            being finite.
    """
    strategy, cache = make_checked_strategy(config, devices), data.cache
    with open_run(run, config=config, data=data) as has_ended:
        if has_ended:
            return
        top = rebuild_top(cache.contract, data.weights, where=cache.cache_dir / "cache.json")
        splits = read_training_splits(run, cache, config, top=top)
        reader = splits.train.reader
        build = functools.partial(
            build_head,
            config,
            feature_shape=reader.feature_shape,
            num_classes=len(read_class_names(run.classes_path)),
            statistics=measure_features(reader),
        )
        recorder = RunRecorder(
            run, patience=config.patience, seed=config.seed, checkpoint_sec=checkpoint_sec
        )
        with strategy.scope():
            keras.utils.set_random_seed(config.seed)
            model = build(dtype_policy=choose_policy(config))
        fit_model(model, config, splits, strategy=strategy, recorder=recorder, summary=summary)
        # Not the compiled model: the file is for use on any device, and without the optimizer's
        # state a third of the size.
        finished = build(top=None if top is None else top.model)
        top_weights = [] if top is None else top.model.get_weights()
        finished.set_weights(top_weights + model.get_weights())
        save_model(finished, run)
