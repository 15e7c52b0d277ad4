"""New videos: their frames, and the features that the run's VGG16 finds in them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from lrcn.common.cache.clip_features import ClipClock
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.unreadable import UnreadableClipError
from lrcn.common.pixels.decode import count_frames, iter_frames
from lrcn.common.pixels.frame import Frame
from lrcn.common.pixels.views import VIEWS
from lrcn.common.vgg16 import backbone
from lrcn.common.vgg16.batch_size import limit_batch_size
from train_head.batches.step_memory import check_new_frames
from train_head.head.vgg16 import rebuild_vgg16


class NewVideos:
    """Videos and frame folders as `Predictor` takes clips."""

    def __init__(self, run: RunDir, *, weights: str | None, choose: Callable[[int], set] | None):
        """Rebuilds the bottom that the run's features came from.

        Args:
            run: A trained run.
            weights: Where VGG16's weights are now, None for where the contract found them.
            choose: From the number of a clip's frames to the positions of those that the head
                reads; None for all.

        Raises:
            FileNotFoundError: If the weights are missing.
            ValueError: If they are not those of the contract.
        """
        self._choose = choose
        self._contract = run.read_contract()
        self._views = VIEWS[self._contract.views]
        batch_size = limit_batch_size(self._contract.image_size_px)
        self._frames_per_batch = self._views.find_frames_per_batch(batch_size)
        vgg16 = rebuild_vgg16(self._contract, weights, where=run.contract_path)
        self._bottom = backbone.make_padded_forward(
            backbone.build_bottom(vgg16, self._contract.cut),
            max_batch_size=self._frames_per_batch * self._views.num_views,
        )

    def read_batches(self, source: Path, on_decoded: Callable[[], None]) -> Iterator[list[Frame]]:
        """Yields a clip's frames; of each batch, as many as the bottom takes have pixels."""
        chosen, selection = None, self._contract.selection
        if self._choose is not None:
            # Counting decodes the clip once more, which costs little beside VGG16.
            num_frames = count_frames(source, selection=selection, on_decoded=on_decoded)
            chosen = self._choose(num_frames)
        frames = iter_frames(
            source,
            image_size=self._views.find_resized_px(self._contract.image_size_px),
            selection=selection,
            # Damage shows where a video is decoded, but of an image only where it is opened.
            positions=None if Path(source).is_dir() else chosen,
            on_decoded=on_decoded,
        )
        batch, num_pixels = [], 0
        for position, frame in enumerate(frames):
            is_chosen = chosen is None or position in chosen
            batch.append(frame if is_chosen else frame._replace(pixels=None))
            num_pixels += is_chosen
            if num_pixels == self._frames_per_batch:
                yield batch
                batch, num_pixels = [], 0
        if chosen is not None and position + 1 != num_frames:
            raise UnreadableClipError(
                f"{source}: expected the {num_frames} frames that were counted, received "
                f"{position + 1}. It has changed meanwhile. Name it again once it is whole."
            )
        yield batch

    def extract(
        self, source: Path, batches: Iterable[list[Frame]]
    ) -> tuple[np.ndarray, np.ndarray, ClipClock]:
        """Computes the features of a clip's chosen frames.

        Returns:
            [n, V, ...] float16, the frames' positions in the clip, [n], and the clock of all its
            frames.

        Raises:
            UnreadableClipError: If it cannot be decoded, has more frames than fit in memory, or a
                feature is not finite.
        """
        frames, maps, num_chosen = [], [], 0
        for batch in batches:
            pixels = [frame.pixels for frame in batch if frame.pixels is not None]
            if pixels:
                maps.append(self._forward(pixels, source))
                num_chosen += len(pixels)
                check_new_frames(source, num_chosen, self._contract)
            frames += [(x.index, x.timestamp_sec, x.pixels is not None) for x in batch]
        index, timestamp_sec, is_chosen = map(np.array, zip(*frames, strict=True))
        return np.concatenate(maps), np.flatnonzero(is_chosen), ClipClock(index, timestamp_sec)

    def _forward(self, frames: list[np.ndarray], source: Path) -> np.ndarray:
        image_size, num_views = self._contract.image_size_px, self._views.num_views
        rows = np.stack([x for pixels in frames for x in self._views.cut(pixels, image_size)])
        maps = self._bottom(rows)
        if not np.isfinite(maps).all():
            raise UnreadableClipError(
                f"{source}: a feature is not finite in float16 (largest number: 65504), so the "
                "clip has no class. Expected finite features; check the weights."
            )
        return maps.reshape(-1, num_views, *self._contract.feature_shape)
