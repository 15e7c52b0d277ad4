"""The views of a frame that a cache may hold: the whole frame, crops of it, and mirror images."""

import dataclasses

import numpy as np

from lrcn.common.pixels.frame import RESIZE_RULE


@dataclasses.dataclass(frozen=True)
class Views:
    """Which views are made of a frame. The first is the one that `--views=first` scores.

    Attributes:
        crops: (row, column) of each crop in halves of the free margin: (1, 1) is the centre. Empty
            for the whole frame.
        mirrored: Whether the mirror images, left for right, of all these follow them.
    """

    crops: tuple[tuple[int, int], ...] = ()
    mirrored: bool = False

    @property
    def num_views(self) -> int:
        """V, how many views a frame has."""
        return max(1, len(self.crops)) * (2 if self.mirrored else 1)

    @property
    def resize_rule(self) -> str:
        """How a frame becomes the square that `cut` takes, for the contract."""
        return f"{RESIZE_RULE}_8/7" if self.crops else RESIZE_RULE

    def find_resized_px(self, image_size: int) -> int:
        """R, the side of the square that a frame is stretched to before it is cut.

        Crops of 224 px are of a frame of 256 px, as Krizhevsky et al. 2012 (section 4.1) and nearly
        everyone since have them.
        """
        return round(image_size * 8 / 7) if self.crops else image_size

    def find_frames_per_batch(self, batch_size: int) -> int:
        """How many frames' views fill a batch of so many pictures; at least one."""
        return max(1, batch_size // self.num_views)

    def cut(self, pixels: np.ndarray, image_size: int) -> list[np.ndarray]:
        """Makes the views of a frame, or of several.

        Args:
            pixels: [..., R, R, 3] uint8, see `find_resized_px`.
            image_size: S, in pixels.

        Returns:
            V arrays [..., S, S, 3] uint8, which share the frames' memory.
        """
        margin = pixels.shape[-2] - image_size
        views = []
        for row, column in self.crops or [(0, 0)]:
            top, left = row * margin // 2, column * margin // 2
            views.append(pixels[..., top : top + image_size, left : left + image_size, :])
        if self.mirrored:
            views += [view[..., ::-1, :] for view in views]
        return views


_CENTRE_AND_CORNERS = ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2))
# The names go into the cache contract: other views, or another order, need another name.
VIEWS = {
    "one": Views(),
    "flip": Views(mirrored=True),
    "five_crop": Views(_CENTRE_AND_CORNERS),
    "ten_crop": Views(_CENTRE_AND_CORNERS, mirrored=True),
}
