"""Stage 1 as one function: from data to a cache that holds every clip's features."""

import dataclasses
import time
from pathlib import Path

from absl import logging

from extract_features.backbone_settings import (
    Backbone,
    BackboneSettings,
    build_backbone,
    complete_settings,
    may_hold,
)
from extract_features.disk_space import check_disk_space
from extract_features.filling import fill_cache
from extract_features.given_data import DataSettings, read_given_data
from extract_features.pipeline import PipelineSettings, run_pipeline
from extract_features.progress import ExtractionProgress
from extract_features.same_data import check_data_root, check_moved_data
from extract_features.summary import ExtractionResult, Summary
from extract_features.worklist import DataSources, Job, Worklist
from lrcn.common.cache.cache_lock import ALL_CLIPS, Shard
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.open_cache import check_contract, find_cache
from lrcn.common.clips.clip import Clip
from lrcn.common.programs.devices import describe_device
from lrcn.common.programs.wording import name_count


def extract_features(
    data_settings: DataSettings,
    backbone_settings: BackboneSettings,
    pipeline_settings: PipelineSettings,
    *,
    cache_dir: Path,
    shard: Shard = ALL_CLIPS,
) -> Summary:
    """Fills the cache with the features of every clip that it does not hold yet.

    Args:
        data_settings: The clips and their splits.
        backbone_settings: What is computed.
        pipeline_settings: How.
        cache_dir: The cache, made where there is none.
        shard: Which of the clips; others may be extracted into the same cache meanwhile.

    Returns:
        What was done. Clips that failed, or are kept in part, stand in it and in the cache's
        `failures.csv`.

    Raises:
        ValueError: If data, weights or an existing cache do not fit.
        OSError: If something is missing or cannot be written, or the disk is far too small.
        RuntimeError: If another process writes to the cache.
    """
    start_sec = time.monotonic()
    # Data that is refused leaves no folder behind, so it is read before the cache is locked.
    existing = find_cache(cache_dir)
    data = read_given_data(data_settings, existing)
    check_data_root(data, existing)
    extraction = Extraction(
        DataSources(data.root), backbone_settings, pipeline_settings, cache_dir=cache_dir
    )
    return fill_cache(data, extraction, cache_dir=cache_dir, start_sec=start_sec, shard=shard)


@dataclasses.dataclass
class Extraction:
    """VGG16 as a `FeatureMaker`; `backbone` is built where there is work for it."""

    sources: DataSources
    backbone_settings: BackboneSettings
    pipeline_settings: PipelineSettings
    cache_dir: Path
    backbone: Backbone | None = None

    def prepare(
        self, pending: list[Job], clips: list[Clip], existing: FeatureCache | None
    ) -> Contract:
        contract = self.prepare_backbone(pending, clips, existing)
        if pending:
            check_disk_space(pending, contract, self.cache_dir)
        return contract

    def prepare_backbone(
        self, pending: list[Job], clips: list[Clip], existing: FeatureCache | None
    ) -> Contract:
        """Does what `prepare` does, but for the disk."""
        settings = complete_settings(self.backbone_settings, existing)
        root = self.sources.root
        if existing is not None and existing.data_root != str(root.resolve()):
            # Of all clips: a shard's own may be none, or be none that are cached.
            check_moved_data(existing, clips, self.sources, was=existing.data_root, now=root)
        # A finished cache costs no start-up: TensorFlow is imported where there is work, or where
        # only the weights tell whether the settings fit.
        if existing is not None and not pending and may_hold(existing, self.backbone_settings):
            return existing.contract
        self.backbone = build_backbone(
            settings, self.pipeline_settings.batch_size, num_clips=len(pending)
        )
        check_contract(existing, self.backbone.contract)
        return self.backbone.contract

    def make_features(self, work: Worklist, cache: FeatureCache) -> ExtractionResult:
        if work.unreadable:
            clip, reason = work.unreadable[0]
            logging.warning(
                "Clips that cannot be read: %s of %s, such as %s: %s",
                f"{len(work.unreadable):,}",
                f"{work.num_clips:,}",
                clip.clip_id,
                reason,
            )
        logging.info(
            "%s of %s to extract into %s (%s, %s, %s at once, on %s)",
            f"{len(work.pending):,}",
            name_count(work.num_clips, "clip"),
            cache.cache_dir,
            cache.contract.cut,
            cache.contract.compute_dtype,
            name_count(self.backbone.frames_per_batch, "frame"),
            describe_device(),
        )
        with ExtractionProgress(len(work.pending)) as progress:
            return run_pipeline(
                work.pending,
                cache=cache,
                backbone=self.backbone,
                settings=self.pipeline_settings,
                progress=progress,
            )
