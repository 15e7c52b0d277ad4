"""The pictures of a report: strips of frames, where the head looks, and its opinion over time."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging
from PIL import Image

from lrcn.common.cache.clip_features import ClipFeatures
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.programs.wording import name_count
from train_head.batches.frame_choice import sample_frames
from train_head.predictions.clip_pictures import read_pictures
from train_head.predictions.explanation import Explainer
from train_head.reports.report_data import ScoredClips, round_probabilities
from train_head.run.config import TrainConfig
from train_head.run.run_clips import read_listed

# Frames of a strip, and their side: 16 stand side by side in a column of text.
_MAX_FRAMES = 16
_FRAME_SIZE_PX = 56
_PAIR_SIZE_PX = 112
_JPEG_QUALITY = 75
# Side of a frame's attention, which the browser enlarges further, and its opacity of 255.
_VEIL_SIZE_PX = 16
_DARKEST = 190
# Classes whose probability is drawn over time.
_NUM_CLASSES = 4
# Decoding leaves Python's lock.
_NUM_THREADS = 4


def make_cards(
    scored: ScoredClips, *, cache: FeatureCache, explainer: Explainer, config: TrainConfig
) -> tuple[dict[int, dict], list[str]]:
    """Makes what is shown of single clips, see `ScoredClips.find_shown`.

    Args:
        scored: The clips and their predictions.
        cache: The cache with the clips' features.
        explainer: The run's head.
        config: How the run samples frames.

    Returns:
        For each number the frames shown, the probabilities [classes][frames] after each of them
        of the classes that matter, the influence of each, and as data URIs a strip of the frames
        and of the attention, both None where there are none; and why strips are missing.
    """
    numbers = scored.find_shown()
    listed = {clip.clip_id: clip for clip in read_listed(cache)}
    logging.info(
        "Explaining %d of %s frame by frame", len(numbers), name_count(len(scored.clips), "clip")
    )
    cards, frame_indices = {}, []
    for i in numbers:
        views = _read_sequence(cache, scored.clips[i].clip_id, config)
        after = _choose_frames(len(views[0].frame_index))
        explanation = explainer.explain(views, after=after)
        classes = _choose_classes(scored, i)
        frame_indices.append(explanation.frame_index.tolist())
        cards[i] = {
            "frames": frame_indices[-1],
            "classes": classes,
            "over_time": round_probabilities(explanation.probabilities[:, classes].T),
            "influence": np.round(explanation.influence.astype(float), 3).tolist(),
            "attention": _make_attention_strip(explanation.attention),
        }
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        strips = pool.map(
            lambda clip, indices: read_pictures(cache, clip, indices, size_px=_FRAME_SIZE_PX),
            [listed.get(scored.clips[i].clip_id, scored.clips[i]) for i in numbers],
            frame_indices,
        )
        failures = []
        for i, (pictures, failure) in zip(numbers, strips, strict=True):
            cards[i]["strip"] = None if pictures is None else _make_strip(pictures)
            if failure:
                failures.append(failure)
    if failures:
        logging.warning(
            "%d of these %d clips go without pictures. The first: %s",
            len(failures),
            len(cards),
            failures[0],
        )
    return cards, failures


def make_pair_pictures(pairs: list[dict], *, cache: FeatureCache) -> None:
    """Adds to each near duplicate of an audit `picture`, its two frames as a data URI, or None."""
    clips = {clip.clip_id: clip for clip in read_listed(cache)}
    for pair in pairs:
        pictures = []
        for side in ("a", "b"):
            clip = clips.get(pair[f"clip_{side}"])
            if clip is not None:
                frame = pair[f"frame_{side}"]
                found, _ = read_pictures(cache, clip, [frame], size_px=_PAIR_SIZE_PX)
                pictures += found or []
        pair["picture"] = _make_strip(pictures) if len(pictures) == 2 else None


def _read_sequence(cache: FeatureCache, clip_id: str, config: TrainConfig) -> list[ClipFeatures]:
    """Returns each view of what evaluation reads of the clip."""
    frames = sample_frames(cache.count_frames(clip_id), config, rng=None)
    views = range(cache.contract.num_views)
    return [cache.read_clip(clip_id, frames=frames, view=view) for view in views]


def _choose_frames(num_frames: int) -> np.ndarray:
    """Evenly spaced, the last one included, since after it the head gives its answer."""
    count = min(num_frames, _MAX_FRAMES)
    return np.linspace(0, num_frames - 1, count).round().astype(np.int64)


def _choose_classes(scored: ScoredClips, number: int) -> list[int]:
    """The true class, then the most probable others."""
    true = int(scored.class_ids[number])
    ranked = np.argsort(-scored.probabilities[number], kind="stable").tolist()
    return [true, *(k for k in ranked if k != true)][:_NUM_CLASSES]


def _make_strip(pictures: list[np.ndarray]) -> str:
    # One file for all frames of a clip: a header of its own would double the size of each.
    return _encode(np.concatenate(pictures, axis=1), "JPEG", quality=_JPEG_QUALITY)


def _make_attention_strip(attention: np.ndarray | None) -> str | None:
    """Paints [T, h, w] as a veil over the strip, opaque where the head does not look."""
    if attention is None:
        return None
    shade = _DARKEST * (1 - attention / attention.max(axis=(1, 2), keepdims=True))
    size = (_VEIL_SIZE_PX, _VEIL_SIZE_PX)
    # Each frame is enlarged by itself, else its neighbours show at its edges.
    veils = [Image.fromarray(np.round(x).astype(np.uint8)).resize(size) for x in shade]
    alpha = np.concatenate([np.asarray(veil) for veil in veils], axis=1)
    pixels = np.zeros((*alpha.shape, 4), np.uint8)
    pixels[..., 3] = alpha
    return _encode(pixels, "PNG", optimize=True)


def _encode(pixels: np.ndarray, file_format: str, **options) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    content = base64.b64encode(file.getvalue()).decode()
    return f"data:image/{file_format.lower()};base64,{content}"
