"""The second phase of fine-tuning: VGG16's last layers and the head, trained together."""

from absl import logging

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.programs.wording import name_count
from train_head.batches.split_reader import read_training_splits
from train_head.head.convolution import let_learn
from train_head.head.layers import tf
from train_head.head.run_model import load_model
from train_head.run.config import FineTuneConfig
from train_head.run.training_data import TrainingData
from train_head.training.fitting import fit_model, save_model
from train_head.training.recorder import RunRecorder


def fit_top(
    config: FineTuneConfig,
    data: TrainingData,
    *,
    strategy: tf.distribute.Strategy,
    recorder: RunRecorder,
    summary: bool,
) -> None:
    """Goes on from the best epoch of the first phase, and writes the run's model.

    Arguments as `head_training.fit_head`, with the settings and the epochs of both phases.

    Raises:
        ValueError: If a clip is damaged or the loss stops being finite.
    """
    run, phase = recorder.run, config.second_phase()
    head_run = RunDir(run.head_path)
    with strategy.scope():
        model = load_tunable_model(head_run, tune_layers=config.tune_layers)
    splits = read_training_splits(run, data.cache, phase)
    logging.info(
        "Now the last %d layers of VGG16 with the head: at most %s more",
        config.tune_layers,
        name_count(phase.epochs, "epoch"),
    )
    weights = fit_model(model, phase, splits, strategy=strategy, recorder=recorder, summary=summary)
    finished = load_model(head_run)  # without the optimizer
    finished.set_weights(weights)
    save_model(finished, recorder)


def load_tunable_model(run: RunDir, *, tune_layers: int):
    """Loads the model of a run on `block4_pool`, with its last layers of VGG16 free to learn.

    Args:
        run: The first phase's, ended.
        tune_layers: How many of VGG16's last layers, see `FineTuneConfig`.
    """
    model = load_model(run)
    let_learn(model.get_layer("top").model.layers[-tune_layers:])
    return model
