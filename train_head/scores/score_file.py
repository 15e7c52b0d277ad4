"""`metrics.json`: what a run scores, with a digest that tells what was changed by hand."""

import hashlib
import json
from pathlib import Path

from lrcn.common.cache.run_dir import format_json, read_json

_REMEDY = "Delete it, and run train_head.evaluate again"


def format_scores(scores: dict) -> str:
    """Renders scores as the text of their file."""
    return format_json({**scores, "digest": _digest(scores)})


def read_scores(path: Path) -> dict:
    """Reads the scores of a file, also of an earlier version's without the digest.

    Raises:
        ValueError: If they are not those of the digest, or say of their origin what is no object.
            Also as `read_json`.
    """
    scores = read_json(path, remedy=_REMEDY)
    digest = scores.pop("digest", None)
    if digest is not None and digest != _digest(scores):
        raise ValueError(
            f"{path}: expected the scores that were written there. Received: some that do not fit "
            f"the digest beside them, as in a file that was changed by hand. {_REMEDY}."
        )
    origin = scores.get("provenance", {})
    if not isinstance(origin, dict):
        raise ValueError(
            f"{path}: expected provenance to be an object. Received: {origin!r}. {_REMEDY}."
        )
    return scores


def _digest(scores: dict) -> str:
    return hashlib.sha256(json.dumps(scores, sort_keys=True).encode()).hexdigest()
