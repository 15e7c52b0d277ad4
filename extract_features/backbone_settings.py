"""What is computed for a frame: the settings, the contract that they make, and the backbone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lrcn.common.cache.clip_file import STORAGE_DTYPE
from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.pixels.frame_selection import ALL_FRAMES, FrameSelection
from lrcn.common.pixels.views import VIEWS


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneSettings:
    """What is computed for a frame. None stands for what the cache has, else the default.

    Attributes:
        weights: `imagenet`, `random` or a file.
        cut: Layer whose output is cached.
        image_size: Side of the square frames in pixels.
        compute_dtype: `auto`, `float32`, `bfloat16` or `float16`.
        selection: Which frames of a clip; what it leaves open is what the cache has.
        views: Which views of a frame: a name of `VIEWS`.
    """

    weights: str | None = None
    cut: str | None = None
    image_size: int | None = None
    compute_dtype: str | None = None
    selection: FrameSelection = ALL_FRAMES
    views: str | None = None


DEFAULT_BACKBONE = BackboneSettings(
    weights="imagenet", cut="block5_pool", image_size=224, compute_dtype="auto", views="one"
)
_WEIGHTS_BY_NAME = ("imagenet", "random")
_MANY_CLIPS = 64  # in which a start that takes a second longer is won back


def complete_settings(given: BackboneSettings, existing: FeatureCache | None) -> BackboneSettings:
    """Fills in what is None, from the cache or the defaults.

    Raises:
        ValueError: If the cache holds imported features.
    """
    known = DEFAULT_BACKBONE
    if existing is not None:
        contract = existing.contract
        if contract.is_imported:
            raise ValueError(
                f"{existing.cache_dir}: holds features that another tool computed "
                f"({contract.weights}). Name another --cache_dir."
            )
        known = BackboneSettings(
            weights=contract.weights,
            cut=contract.cut,
            image_size=contract.image_size_px,
            compute_dtype=contract.compute_dtype,
            selection=contract.selection,
            views=contract.views,
        )
    chosen = {name: value for name, value in vars(given).items() if value is not None}
    chosen["selection"] = given.selection.complete(known.selection)
    return dataclasses.replace(known, **chosen)


def may_hold(existing: FeatureCache, given: BackboneSettings) -> bool:
    """Whether the cache is of these settings, as far as can be told without the weights.

    A weights file that is named has to be read, since it may have changed.
    """
    may_have_changed = given.weights is not None and given.weights not in _WEIGHTS_BY_NAME
    wanted, known = (complete_settings(x, existing) for x in (given, BackboneSettings()))
    return wanted == known and not may_have_changed


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A built backbone.

    Attributes:
        contract: Of its features.
        forward: `backbone.make_forward`'s function.
        frames_per_batch: Frames that it takes: all of their views are the rows of its batch.
    """

    contract: Contract
    forward: Callable
    frames_per_batch: int


def build_backbone(
    settings: BackboneSettings, batch_size: int | None, *, num_clips: int
) -> Backbone:
    """Builds the backbone.

    Args:
        settings: Complete ones.
        batch_size: Views of frames that it sees at once, None for what suits the machine.
        num_clips: How many clips it will see. Of many it is worth a slower start.

    Raises:
        FileNotFoundError: If the weights file is missing, or the download fails.
        ValueError: If weights or batch size do not fit.
        MemoryError: If a batch is larger than the memory.
    """
    from lrcn.common.programs.devices import choose_compute_dtype
    from lrcn.common.vgg16 import backbone  # imports TensorFlow
    from lrcn.common.vgg16.backbone_weights import check_weights_file, fingerprint_weights
    from lrcn.common.vgg16.batch_size import check_batch_size, find_batch_size

    if settings.weights not in _WEIGHTS_BY_NAME:
        check_weights_file(Path(settings.weights))  # before the machine is measured
    compute_dtype = choose_compute_dtype(settings.compute_dtype)
    vgg16 = backbone.build_vgg16(
        weights=settings.weights,
        cut=settings.cut,
        image_size=settings.image_size,
        compute_dtype=compute_dtype,
    )
    bottom = backbone.build_bottom(vgg16, settings.cut)
    views, weights = VIEWS[settings.views], settings.weights
    contract = Contract(
        backbone="vgg16",
        cut=settings.cut,
        weights_sha256=fingerprint_weights(vgg16),
        preprocessing=backbone.PREPROCESSING,
        resize=views.resize_rule,
        image_size_px=settings.image_size,
        frame_selection=str(settings.selection),
        views=settings.views,
        compute_dtype=compute_dtype,
        storage_dtype=STORAGE_DTYPE,
        feature_shape=bottom.output.shape[1:],
        # A file is found again from wherever the next command is run.
        weights=weights if weights in _WEIGHTS_BY_NAME else str(Path(weights).absolute()),
    )
    if batch_size is None:
        batch_size = find_batch_size(bottom)
    frames_per_batch = views.find_frames_per_batch(batch_size)
    num_rows = frames_per_batch * views.num_views
    check_batch_size(vgg16, num_rows)
    forward = backbone.make_forward(
        bottom, batch_size=num_rows, many_batches=num_clips >= _MANY_CLIPS
    )
    return Backbone(contract, forward, frames_per_batch)
