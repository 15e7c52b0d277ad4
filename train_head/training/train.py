"""Stage 2 as one function: from a cache to a run."""

from lrcn.common.cache.run_dir import RunDir
from train_head.run.config import TrainConfig
from train_head.run.training_data import TrainingData
from train_head.training.run_start import open_run


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
        MemoryError: If weights, or a batch, are larger than the memory.
        RuntimeError: If another process trains the run.
        ValueError: If the clips, labels or devices do not allow training, the folder holds a run of
            other settings, clips or labels, the weights are not the cache's, or the loss stops
            being finite.
    """
    with open_run(run, config=config, data=data, devices=devices) as strategy:
        if strategy is None:
            return
        # TensorFlow comes with them, see `open_run`.
        from train_head.training.head_training import fit_head
        from train_head.training.recorder import RunRecorder

        recorder = RunRecorder(run, config, checkpoint_sec=checkpoint_sec)
        fit_head(config, data, strategy=strategy, recorder=recorder, summary=summary)
