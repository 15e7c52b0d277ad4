"""Fine-tuning as one function: the head on frozen VGG16, then block 5 and head together."""

import dataclasses

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from train_head.run.config import FineTuneConfig
from train_head.run.history import read_history
from train_head.run.reproduction import make_extraction_command
from train_head.run.training_data import TrainingData
from train_head.training.run_start import open_run
from train_head.training.train import train_run

CUT = "block4_pool"  # below the layers that it trains


def fine_tune_run(
    config: FineTuneConfig,
    data: TrainingData,
    *,
    run: RunDir,
    checkpoint_sec: float,
    devices: str = "1",
    summary: bool = False,
) -> None:
    """Trains a head and the last layers of VGG16, and leaves a run like any other.

    The first phase is a run of its own, in the folder `head` of this one. The second goes on from
    its best epoch, at a low rate, and keeps the best epoch of both.

    Args:
        config: The settings.
        data: What it is trained on; the cache is cut at `block4_pool`.
        run: Where the run goes, made where there is none.
        checkpoint_sec: Seconds between checkpoints. This and what follows as `train_run`.
        devices: How many devices share each batch.
        summary: Log every layer's output shape.

    Raises:
        FileNotFoundError: If clips are missing from the cache, or the weights.
        MemoryError: If weights, or a batch, are larger than the memory.
        ValueError: If the cache is cut elsewhere, and as `train_run`.
        RuntimeError: As `train_run`.
    """
    _check_cut(data.cache)
    with open_run(run, config=config, data=data, devices=devices) as strategy:
        if strategy is None:
            return
        # TensorFlow comes with them, see `open_run`.
        from train_head.batches.split_reader import read_training_splits
        from train_head.batches.step_memory import check_batch
        from train_head.training.recorder import RunRecorder
        from train_head.training.top_training import fit_top

        # Before the head, whose features are smaller, is trained for hours.
        phase = config.second_phase()
        check_batch(read_training_splits(run, data.cache, phase).train.reader, phase)
        head_run = RunDir(run.head_path)
        train_run(
            config.first_phase(),
            # Splits and labels of this run; those outside may have changed since it was started.
            dataclasses.replace(
                data, manifest_path=run.manifest_path, frame_labels_path=run.frame_labels_path
            ),
            run=head_run,
            checkpoint_sec=checkpoint_sec,
            devices=devices,
            summary=summary,
        )
        recorder = RunRecorder(
            run,
            config,
            checkpoint_sec=checkpoint_sec,
            first_phase=read_history(head_run.history_path),
        )
        fit_top(config, data, strategy=strategy, recorder=recorder, summary=summary)


def _check_cut(cache: FeatureCache) -> None:
    contract = cache.contract
    if contract.is_imported:
        raise ValueError(
            f"{cache.cache_dir}: holds features imported from {contract.weights}. Expected a cache "
            f"that extract_features made with --cut={CUT}: fine-tuning trains VGG16's last layers."
        )
    if contract.cut == CUT:
        return
    command = make_extraction_command(cache, cache_dir=f"{cache.cache_dir}_{CUT}", cut=CUT)
    raise ValueError(
        f"{cache.cache_dir}: cut at {contract.cut}. Expected a cache cut at {CUT}, the input of "
        f"the layers that fine-tuning trains. Make one with\n{command}\nand pass its --cache_dir."
    )
