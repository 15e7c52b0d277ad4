"""Stage 1 as one function: from data to a cache that holds every clip's features."""

import dataclasses
import os
import time
from pathlib import Path

from absl import logging

from extract_features.clip_list import (
    DataSettings,
    check_same_data,
    read_split_clips,
    write_clip_list,
    write_failures,
)
from extract_features.pipeline import Job, run_pipeline
from extract_features.progress import ExtractionProgress
from extract_features.summary import ExtractionResult, Summary
from lrcn.common.clip import Clip
from lrcn.common.clip_file import STORAGE_DTYPE
from lrcn.common.contract import IMPORTED_BACKBONE, Contract
from lrcn.common.decode import RESIZE_RULE, UnreadableClipError, read_source_stat
from lrcn.common.feature_cache import (
    FeatureCache,
    create_cache,
    lock_cache,
    read_cache,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSettings:
    """What is computed for a frame. None stands for what the cache has, else the default.

    Attributes:
        weights: `imagenet`, `random` or a file.
        cut: Layer whose output is cached.
        image_size: Side of the square frames in pixels.
        compute_dtype: `auto`, `float32`, `bfloat16` or `float16`.
    """

    weights: str | None = None
    cut: str | None = None
    image_size: int | None = None
    compute_dtype: str | None = None


DEFAULT_BACKBONE = BackboneSettings(
    weights="imagenet", cut="block5_pool", image_size=224, compute_dtype="auto"
)
_WEIGHTS_BY_NAME = ("imagenet", "random")


def extract_features(
    data_settings: DataSettings,
    backbone_settings: BackboneSettings,
    *,
    cache_dir: Path,
    batch_size: int,
    num_decode_threads: int,
    compression: str,
    skip_unreadable: bool,
) -> Summary:
    """Fills the cache with the features of every clip that it does not hold yet.

    Args:
        data_settings: The clips and their splits.
        backbone_settings: What is computed.
        cache_dir: The cache, made where there is none.
        batch_size: Frames that the backbone sees at once, of one or several clips.
        num_decode_threads: Threads that decode.
        compression: One of `clip_file.COMPRESSIONS`, for the clips that are written now.
        skip_unreadable: Leave clips that cannot be read out of the cache's manifest.

    Returns:
        What was done. Clips that failed stand in it and in the cache's `failures.csv`.

    Raises:
        ValueError: If data, weights or an existing cache do not fit.
        OSError: If something is missing or cannot be written.
        RuntimeError: If another process writes to the cache.
    """
    start_sec = time.monotonic()
    clips, data_root = read_split_clips(data_settings)
    with lock_cache(cache_dir):
        existing = read_cache(cache_dir) if (Path(cache_dir) / "cache.json").exists() else None
        if existing is not None:
            check_same_data(existing, clips)
        settings = _complete_settings(backbone_settings, existing)
        jobs, unreadable = _find_jobs(clips, data_root)
        # A finished cache costs no start-up: TensorFlow is imported where there is work, or where
        # only the weights tell whether the settings fit.
        cache, forward = existing, None
        if existing is None or not _may_hold(existing.contract, backbone_settings):
            cache, forward = _prepare(settings, cache_dir, data_root, batch_size)
        pending = [x for x in jobs if not cache.is_current(x.clip.clip_id, x.source_stat)]
        if pending and forward is None:
            cache, forward = _prepare(settings, cache_dir, data_root, batch_size)
        write_clip_list(cache, clips)
        result = ExtractionResult()
        if pending:
            logging.info(
                "%d of %d clips to extract into %s (%s, %s)",
                len(pending),
                len(clips),
                cache_dir,
                cache.contract.cut,
                cache.contract.compute_dtype,
            )
            with ExtractionProgress(len(pending)) as progress:
                result = run_pipeline(
                    pending,
                    cache=cache,
                    forward=forward,
                    batch_size=batch_size,
                    num_decode_threads=num_decode_threads,
                    compression=compression,
                    progress=progress,
                )
        result.failures += unreadable
        write_failures(cache, result.failures)
        if skip_unreadable and result.failures:
            failed = {clip.clip_id for clip, _ in result.failures}
            write_clip_list(cache, [clip for clip in clips if clip.clip_id not in failed])
    return Summary(result, len(jobs) - len(pending), time.monotonic() - start_sec)


def _complete_settings(given: BackboneSettings, existing: FeatureCache | None) -> BackboneSettings:
    known = DEFAULT_BACKBONE
    if existing is not None:
        contract = existing.contract
        if contract.backbone == IMPORTED_BACKBONE:
            raise ValueError(
                f"{existing.cache_dir}: holds features that another tool computed "
                f"({contract.weights}). Name another --cache_dir."
            )
        known = BackboneSettings(
            weights=contract.weights,
            cut=contract.cut,
            image_size=contract.image_size_px,
            compute_dtype=contract.compute_dtype,
        )
    chosen = {k: v for k, v in dataclasses.asdict(given).items() if v is not None}
    return dataclasses.replace(known, **chosen)


def _may_hold(contract: Contract, given: BackboneSettings) -> bool:
    """Whether the cache is of these settings, as far as can be told without the weights.

    A weights file that is named has to be read, since it may have changed.
    """
    return (
        (given.weights is None or given.weights == contract.weights in _WEIGHTS_BY_NAME)
        and given.cut in (None, contract.cut)
        and given.image_size in (None, contract.image_size_px)
        and given.compute_dtype in (None, contract.compute_dtype)
    )


def _find_jobs(clips: list[Clip], data_root: Path) -> tuple[list[Job], list[tuple[Clip, str]]]:
    jobs, unreadable = [], []
    for clip in clips:
        source = data_root / clip.path
        try:
            jobs.append(Job(clip, source, read_source_stat(source)))
        except UnreadableClipError as error:
            unreadable.append((clip, str(error)))
    return jobs, unreadable


def _prepare(settings: BackboneSettings, cache_dir: Path, data_root: Path, batch_size: int):
    from lrcn.common import backbone  # imports TensorFlow
    from lrcn.common.devices import choose_compute_dtype

    compute_dtype = choose_compute_dtype(settings.compute_dtype)
    vgg16 = backbone.build_vgg16(
        weights=settings.weights,
        cut=settings.cut,
        image_size=settings.image_size,
        compute_dtype=compute_dtype,
    )
    bottom = backbone.build_bottom(vgg16, settings.cut)
    contract = Contract(
        backbone="vgg16",
        cut=settings.cut,
        weights_sha256=backbone.fingerprint_weights(vgg16),
        preprocessing=backbone.PREPROCESSING,
        resize=RESIZE_RULE,
        image_size_px=settings.image_size,
        frame_selection="all",
        views="one",
        compute_dtype=compute_dtype,
        storage_dtype=STORAGE_DTYPE,
        feature_shape=bottom.output.shape[1:],
        weights=_name_weights(settings.weights),
    )
    cache = create_cache(cache_dir, contract=contract, data_root=data_root)
    return cache, backbone.make_forward(bottom, batch_size=batch_size)


def _name_weights(weights: str) -> str:
    # A file is found again from wherever the next command is run.
    return weights if weights in _WEIGHTS_BY_NAME else os.path.abspath(weights)
