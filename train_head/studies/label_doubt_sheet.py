"""A contact sheet of the clips whose labels are doubted most: a strip of frames of each."""

from pathlib import Path

import numpy as np
from absl import logging
from matplotlib.figure import Figure

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip
from lrcn.common.files.atomic_file import replace_file
from lrcn.common.pixels.sampling import sample_segment_centres
from train_head.predictions.clip_pictures import read_pictures
from train_head.predictions.plot_fonts import escape_formula, find_font_families
from train_head.run.run_clips import read_listed
from train_head.studies.label_doubt import DoubtedLabel

_NUM_FRAMES = 8
_FRAME_SIZE_PX = 112
_GAP_PX = 2


def draw_doubts(path: Path, doubts: list[DoubtedLabel], *, cache: FeatureCache) -> bool:
    """Draws the frames of clips as a PNG, one clip below the other, in order.

    A clip that cannot be read, or has changed since, keeps its place and has no frames.

    Returns:
        Whether there is a picture; without one, the reason is logged.
    """
    if cache.contract.is_imported:
        logging.info("No picture: the features were imported, so the clips' frames are not known.")
        return False
    clips = {clip.clip_id: clip for clip in read_listed(cache)}
    figure = Figure(figsize=(10, 1.6 * len(doubts)), dpi=100, layout="constrained")
    rows = figure.subplots(len(doubts), 1, squeeze=False)[:, 0]
    failures = []
    for rank, (axes, doubt) in enumerate(zip(rows, doubts, strict=True), start=1):
        # In two lines, as one of long names would end outside of the picture.
        title = (
            f"{rank}. {doubt.clip_id}: labelled {doubt.label} ({doubt.label_probability:.0%}),\n"
            f"predicted {doubt.predicted} ({doubt.predicted_probability:.0%})"
        )
        families = find_font_families(title)
        axes.set_title(escape_formula(title), loc="left", fontsize=9, fontfamily=families)
        axes.axis("off")
        strip, failure = None, "The cache does not list it any more."
        if doubt.clip_id in clips:
            strip, failure = _read_strip(cache, clips[doubt.clip_id])
        if strip is None:
            failures.append(f"{doubt.clip_id}: {failure}")
        else:
            axes.imshow(strip)
    if failures:
        logging.warning(
            "%d of these %d clips have no frames to show. The first: %s",
            len(failures),
            len(doubts),
            failures[0],
        )
    if len(failures) == len(doubts):
        logging.info("No picture: none of the clips has frames to show.")
        return False
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return True


def _read_strip(cache: FeatureCache, clip: Clip) -> tuple[np.ndarray | None, str]:
    """Returns evenly spaced frames side by side, always the same width, [S, W, 3] uint8.

    Or None and why there are none.
    """
    frame_index = cache.read_clock(clip.clip_id).frame_index
    shown = sample_segment_centres(len(frame_index), min(len(frame_index), _NUM_FRAMES))
    pictures, failure = read_pictures(
        cache, clip, frame_index[shown].tolist(), size_px=_FRAME_SIZE_PX
    )
    if pictures is None:
        return None, failure
    step_px = _FRAME_SIZE_PX + _GAP_PX
    strip = np.full((_FRAME_SIZE_PX, step_px * _NUM_FRAMES, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        strip[:, i * step_px : i * step_px + _FRAME_SIZE_PX] = picture
    return strip, ""
