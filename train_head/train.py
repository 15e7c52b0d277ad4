"""Stage 2 as one function: from a cache to a run."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
from absl import logging

from lrcn.common.atomic_file import commit_file
from lrcn.common.clip import Clip
from lrcn.common.feature_cache import FeatureCache
from lrcn.common.manifest import (
    find_class_ids,
    read_class_names,
    read_manifest,
    write_class_names,
    write_manifest,
)
from lrcn.common.run_dir import RunDir, read_json, write_json
from train_head.config import TrainConfig
from train_head.input_pipeline import (
    ClipReader,
    count_batches,
    make_eval_dataset,
    make_train_dataset,
    raise_read_errors,
)
from train_head.model import build_head, build_optimizer, keras
from train_head.normalization import measure_features
from train_head.provenance import list_versions
from train_head.recorder import RunRecorder
from train_head.run_clips import read_run_clips


def train_run(
    config: TrainConfig,
    *,
    cache: FeatureCache,
    run: RunDir,
    checkpoint_sec: float,
    manifest_path: Path | None = None,
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

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        ValueError: If the clips do not allow training, the folder holds a run of other settings
            or clips, or the loss stops being finite.
    """
    manifest_path = cache.manifest_path if manifest_path is None else manifest_path
    clips = read_run_clips(cache, manifest_path)
    class_names = read_class_names(cache.classes_path)
    if _start_run(
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
    model = _build_compiled_head(config, train_reader, num_classes=len(class_names))
    recorder = RunRecorder(
        run, patience=config.patience, seed=config.seed, checkpoint_sec=checkpoint_sec
    )
    first_epoch = recorder.restore(model)
    dataset, steps_per_epoch = make_train_dataset(
        train_reader, train_ids, config, epoch=first_epoch
    )
    val_dataset = make_eval_dataset(val_reader, val_ids, config) if len(val_ids) else None
    if first_epoch < config.epochs and not recorder.is_finished():
        with raise_read_errors(train_reader, val_reader):
            model.fit(
                dataset,
                initial_epoch=first_epoch,
                epochs=config.epochs,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the plan of the dataset shuffles
                validation_data=val_dataset,
                callbacks=[keras.callbacks.TensorBoard(run.logs_path, write_graph=False), recorder],
                verbose=0,
            )
    model.set_weights(recorder.best_weights)
    chosen_on = "train" if val_dataset is None else "val"
    logging.info("Keeping epoch %d, the best on %s", recorder.best_row()["epoch"], chosen_on)
    _save_model(model, run)
    # TensorFlow keeps a dataset's functions, and with them the reader, for as long as the process
    # lives; the clips of several runs would add up.
    for reader in (train_reader, val_reader):
        reader.release()


def _start_run(
    run: RunDir,
    *,
    config: TrainConfig,
    cache: FeatureCache,
    manifest_path: Path,
    clips: list[Clip],
    class_names: list[str],
) -> bool:
    """Writes what is known before training, or checks it. Returns whether the run has ended."""
    if run.config_path.exists():
        existing = TrainConfig.from_json(read_json(run.config_path), where=str(run.config_path))
        contract = run.read_contract()
        problem = ""
        if existing != config:
            problem = existing.describe_differences(config)
        elif contract != cache.contract:
            problem = contract.describe_differences(cache.contract)
        elif read_manifest(run.manifest_path) != clips:
            problem = f"made with other clips or splits than {manifest_path} lists now"
        elif read_class_names(run.classes_path) != class_names:
            problem = f"made with other classes, or in another order, than {cache.classes_path} has"
        if problem:
            raise ValueError(
                f"{run.path}: {problem}. Name another --run_dir (with make: RUN=...), or delete "
                "this one."
            )
        return run.model_path.exists()
    if run.path.is_dir() and _holds_other_files(run):
        raise ValueError(
            f"{run.path}: holds files, but no run. Expected a run or an empty or new folder, so "
            "that nothing of yours is overwritten. Name another --run_dir."
        )
    _check_clips(clips, class_names, cache)
    run.checkpoints_path.mkdir(parents=True, exist_ok=True)
    write_class_names(run.classes_path, class_names)
    write_manifest(run.manifest_path, clips)
    write_json(run.contract_path, cache.contract)
    write_json(run.versions_path, list_versions())
    lines = [f"--{name}={value}" for name, value in dataclasses.asdict(config).items()]
    run.flags_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Last, since its presence says that the rest is there.
    write_json(run.config_path, config)
    return False


def _holds_other_files(run: RunDir) -> bool:
    """Whether the folder has files that no training wrote that was killed at its very start."""
    names = {path.name.removeprefix(".").removesuffix(".tmp") for path in run.path.iterdir()}
    first = run.checkpoints_path.name
    at_start = {
        first,
        run.classes_path.name,
        run.manifest_path.name,
        run.contract_path.name,
        run.versions_path.name,
        run.flags_path.name,
        run.config_path.name,
    }
    return bool(names) and not (first in names and names <= at_start)


def _check_clips(clips: list[Clip], class_names: list[str], cache: FeatureCache) -> None:
    trained = {clip.label for clip in clips if clip.split == "train"}
    if len(class_names) < 2:
        raise ValueError(
            f"Expected at least two classes to tell apart. Received: {class_names}. Add clips of "
            "another class."
        )
    missing = [name for name in class_names if name not in trained]
    if missing:
        raise ValueError(
            f"Expected train clips of every class. Received none of {missing}. Add clips, move "
            f"some to the train split, or take the class out, also of {cache.classes_path}."
        )
    absent = [clip.clip_id for clip in clips if not cache.clip_path(clip.clip_id).exists()]
    if absent:
        raise FileNotFoundError(
            f"{cache.cache_dir}: {len(absent)} of {len(clips)} clips are not in the cache, such as "
            f"{cache.clip_path(absent[0])}. Finish extract_features (or import_features) first; "
            f"it lists the clips that it cannot read in {cache.failures_path} and leaves them out "
            "with --skip_unreadable."
        )
    if not any(clip.split == "val" for clip in clips):
        logging.warning(
            "No clip is in the val split: the best epoch is chosen on the train clips, so nothing "
            "guards against overfitting."
        )


def _read_split(clips: list[Clip], split: str, *, cache: FeatureCache, class_names: list[str]):
    chosen = [clip for clip in clips if clip.split == split]
    reader = ClipReader(
        cache, [clip.clip_id for clip in chosen], memory_bytes=_find_memory_budget()
    )
    return reader, np.array(find_class_ids(chosen, class_names), np.int32)


def _find_memory_budget() -> int:
    # For the train and the val clips each, so together at most a third of the memory.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 6


def _build_compiled_head(config: TrainConfig, reader: ClipReader, *, num_classes: int):
    model = build_head(
        config,
        feature_shape=reader.feature_shape,
        num_classes=num_classes,
        statistics=measure_features(reader),
    )
    model.compile(
        optimizer=build_optimizer(config, steps_per_epoch=count_batches(reader, config)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="top1")],
        jit_compile=False,  # batches differ in length
    )
    return model


def _save_model(model, run: RunDir) -> None:
    # Without the optimizer: the file is for use, and a third of the size.
    finished = keras.models.clone_model(model)
    finished.set_weights(model.get_weights())
    temporary = run.path / ".tmp.keras"
    finished.save(temporary)
    commit_file(temporary, run.model_path)
    shutil.rmtree(run.checkpoints_path)
