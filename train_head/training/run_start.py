"""The start of a run: what is checked and written before the first step, without TensorFlow."""

import contextlib
import shutil
from collections.abc import Iterator

from absl import logging

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import read_class_names, read_manifest
from lrcn.common.programs.tensorflow_start import set_keras
from train_head.head.run_model import check_model_file
from train_head.labels.frame_labels import FrameLabels, format_frame_labels, read_frame_labels
from train_head.run.config import TrainConfig, read_config
from train_head.run.run_clips import check_cached, check_classes, forget_paths, read_run_clips
from train_head.run.run_lock import lock_run
from train_head.run.run_sources import has_other_sources
from train_head.run.training_data import TrainingData
from train_head.training.begun_run import BegunRun
from train_head.training.label_coverage import check_trainable

NAME_ANOTHER = (
    "Name another folder (--run_dir, or --output_dir of programs that train several runs; with "
    "make: RUN=..., COMPARE=...)"
)


@contextlib.contextmanager
def open_run(run: RunDir, *, config: TrainConfig, data: TrainingData, devices: str) -> Iterator:
    """Starts a run, or has it go on; none other may train it within the block.

    If everything allows training, all that is known before the first step is written. Where an
    error then ends the block before an epoch is done, the run is removed again. Else somebody who
    was told to lower a setting, as where memory is too small, would be refused, since the folder
    held a run of other settings. A kill removes nothing. What it leaves without an epoch is no run
    to go on with if other settings are given: these start anew.

    Args:
        run: Where the run goes, made where there is none.
        config: The settings.
        data: What it is trained on.
        devices: How many devices share each batch, or `all`.

    Yields:
        The devices' `tf.distribute.Strategy`; None where the run has ended, so that nothing is left
        to do.

    Raises:
        FileNotFoundError: If clips are missing from the cache.
        RuntimeError: If another process trains the run.
        ValueError: If the clips, labels or devices do not allow training, or the folder holds other
            files, a run of other settings, clips, sources of clips or labels, or a damaged model.
    """
    # Locked first: of two that start at once, one would write its settings over the other's.
    with lock_run(run):
        clips, begun = read_run_clips(data), BegunRun(run)
        new = _check_start(begun, config, data, clips)
        if new is None and run.model_path.exists():
            logging.info("%s: trained already", run.path)
            # Of a training that was killed after the model was there.
            shutil.rmtree(run.checkpoints_path, ignore_errors=True)
            yield None
            return
        # TensorFlow comes with it: who is refused, or done, does not wait for that.
        from train_head.training.fitting import make_checked_strategy

        strategy = make_checked_strategy(config, devices)
        with begun.leave_none_without_epochs():
            if new is not None:
                class_names, frame_labels = new
                begun.write(
                    config,
                    data.cache,
                    clips=clips,
                    class_names=class_names,
                    frame_labels=frame_labels,
                )
            else:
                # Gone where the model of a run that had ended was removed, to train it once more.
                run.checkpoints_path.mkdir(exist_ok=True)
                run.remove_scores()
            with set_keras():
                yield strategy


def check_run(run: RunDir, *, config: TrainConfig, data: TrainingData) -> None:
    """Checks that a run can start or go on, or has ended, before others are trained for hours.

    Errors as `open_run`, but for those of devices.
    """
    # One that another program trains meanwhile may have ended when its turn comes.
    with contextlib.nullcontext() if run.path.is_dir() else lock_run(run):
        _check_start(BegunRun(run), config, data, read_run_clips(data))


def _check_start(
    begun: BegunRun, config: TrainConfig, data: TrainingData, clips: list[Clip]
) -> tuple[list[str], FrameLabels | None] | None:
    """Returns what `_check_new` does; None of a run that goes on or has ended."""
    run = begun.run
    is_new = not run.config_path.exists()
    if not is_new:
        difference = _find_difference(run, config, data, clips)
        is_new = bool(difference) and not begun.has_epochs()
        if difference and not is_new:
            raise ValueError(f"{run.path}: {difference}. {NAME_ANOTHER}, or delete this one.")
    new = _check_new(begun, config, data, clips) if is_new else None
    if new is None and run.model_path.exists():
        check_model_file(run)
    else:
        _check_name(run)
    return new


def _check_name(run: RunDir) -> None:
    try:
        str(run.path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{run.path}: expected a folder whose name is UTF-8, as TensorFlow, which writes the "
            f"logs for TensorBoard, takes no other. {NAME_ANOTHER}."
        ) from None


def _find_difference(
    run: RunDir, config: TrainConfig, data: TrainingData, clips: list[Clip]
) -> str:
    """Says in what a started run is another one than is asked for, empty where in nothing."""
    run.check_has()
    cache, existing, contract = data.cache, read_config(run), run.read_contract()
    if existing != config:
        return existing.describe_differences(config)
    if contract != cache.contract:
        return contract.describe_differences(cache.contract)
    if forget_paths(run.read_clips()) != forget_paths(clips):
        return (
            "made with other clips, labels, groups or splits, or in another order, than "
            f"{data.manifest_path} lists now"
        )
    if run.sources_path.exists():  # not of an earlier version
        is_read = not run.model_path.exists()
        check_cached(clips, cache, listed_in=cache.manifest_path, read_next=is_read)
        if has_other_sources(run, cache, clips):
            return f"made of other contents of these clips than {cache.cache_dir} has now"
    if config.labels == "clip":
        if run.read_class_names() != read_class_names(cache.classes_path):
            return f"made with other classes, or in another order, than {cache.classes_path} has"
    elif data.frame_labels_path is not None:
        run.check_has(run.frame_labels_path)
        given = format_frame_labels(_read_labels(data, clips))
        if given != run.frame_labels_path.read_text(encoding="utf-8"):
            return f"made with other frame labels than {data.frame_labels_path} has now"
    return ""


def _check_new(
    begun: BegunRun, config: TrainConfig, data: TrainingData, clips: list[Clip]
) -> tuple[list[str], FrameLabels | None]:
    """Checks what a new run is trained on; returns its classes and, if any, labels of frames."""
    if begun.holds_other_files():
        raise ValueError(
            f"{begun.run.path}: holds files, but no run. Expected a run or an empty or new folder, "
            f"so that nothing of yours is overwritten. {NAME_ANOTHER}."
        )
    cache = data.cache
    check_cached(clips, cache, listed_in=cache.manifest_path)
    if not any(clip.split == "val" for clip in clips):
        logging.log_first_n(  # of many folds once
            logging.WARNING,
            "No clip is in the val split: the last epoch is kept, so nothing guards against too "
            "many --epochs.",
            1,
        )
    if config.rnn == "none" and config.output == "last" and config.labels == "clip":
        logging.log_first_n(
            logging.WARNING,
            "--rnn=none with --output=last: each clip is classified by its last frame alone. "
            "--output=mean_pool looks at every frame that is read.",
            1,
        )
    frame_labels = None
    if config.labels == "frame":
        frame_labels = read_checked_labels(config, data, clips)
        class_names = frame_labels.class_names
    else:
        class_names = read_class_names(cache.classes_path)
        check_classes(clips, class_names, data)
    return class_names, frame_labels


def read_checked_labels(config: TrainConfig, data: TrainingData, clips: list[Clip]) -> FrameLabels:
    """Reads the labels of frames that a new run is trained on.

    Raises:
        ValueError: If there are none, or they do not allow training.
    """
    frame_labels = _read_labels(data, clips)
    check_trainable(frame_labels, clips, config, where=data.listed_in)
    return frame_labels


def _read_labels(data: TrainingData, clips: list[Clip]) -> FrameLabels:
    if data.frame_labels_path is None:
        raise ValueError(
            "Expected --frame_labels with --labels=frame: a .csv file of intervals with labels, or "
            "a folder of label files. Received: none."
        )
    clip_ids, cache = [clip.clip_id for clip in clips], data.cache
    known_ids = {*clip_ids, *(clip.clip_id for clip in read_manifest(cache.manifest_path))}
    return read_frame_labels(
        data.frame_labels_path, clip_ids=clip_ids, known_ids=known_ids, cache=cache
    )
