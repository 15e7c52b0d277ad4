"""What a run is trained on."""

import dataclasses
from pathlib import Path

from lrcn.common.cache.feature_cache import FeatureCache


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The clips' features, their splits and labels.

    Attributes:
        cache: A cache that holds all of the clips.
        manifest_path: The cache's manifest, or another of its clips with splits of its own, such
            as one of several official splits; None takes the cache's.
        frame_labels_path: With a label for every frame, where these are, see `frame_labels`; None
            takes those that the run has.
        weights: Where VGG16's weights are now, None for where the cache found them. Needed only
            where layers lie above the cut.
    """

    cache: FeatureCache
    manifest_path: Path | None = None
    frame_labels_path: Path | None = None
    weights: str | None = None

    def __post_init__(self):
        if self.manifest_path is None:
            object.__setattr__(self, "manifest_path", self.cache.manifest_path)

    @property
    def listed_in(self) -> str:
        """The files that list clips, splits and labels."""
        if self.frame_labels_path is None:
            return str(self.manifest_path)
        return f"{self.frame_labels_path}, with the splits of {self.manifest_path}"
