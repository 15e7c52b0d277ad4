"""Renders a report as one HTML page that needs nothing but itself."""

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np

from lrcn.common.programs.wording import name_count
from train_head.reports.report_data import ScoredClips, round_probabilities
from train_head.scores.score_table import list_confusions

_FOLDER = Path(__file__).parent


def render_page(
    *,
    scores: dict,
    scored: ScoredClips,
    cards: dict[int, dict],
    training: dict,
    compare: dict | None,
    **content,
) -> str:
    """Fills in `report.html.jinja`.

    Names of clips and classes are whatever users call their files, so all that is filled in is
    escaped, and the page lets no script run but its own and loads nothing.

    Args:
        scores: The content of `metrics.json`.
        scored: The clips that they are of.
        cards: From `report_strips.make_cards`.
        training: From `report_data.summarize_training`.
        compare: From `report_data.read_compare`, or None.
        **content: What else the template names.

    Returns:
        The page.
    """
    # What the script draws. Clips are rows, not dictionaries, since there may be many: id, true
    # and predicted class, and the probabilities of both.
    numbers = np.arange(len(scored.clips))
    columns = [
        [clip.clip_id for clip in scored.clips],
        scored.class_ids.tolist(),
        scored.predicted_ids.tolist(),
        round_probabilities(scored.probabilities[numbers, scored.class_ids]),
        round_probabilities(scored.probabilities[numbers, scored.predicted_ids]),
    ]
    page_data = {
        "classes": scored.class_names,
        "clips": list(zip(*columns, strict=True)),
        "cards": cards,
        "most_wrong": scored.find_most_wrong(),
        "least_sure": scored.find_least_sure(),
        "training": training,
        "reliability": scores["reliability"],
        "compare": compare,
    }
    return fill_template(
        "report.html.jinja",
        scripts=("report_charts.js", "report_tables.js", "report.js"),
        page_data=page_data,
        scores=scores,
        scored=scored,
        confusions=list_confusions(scores["confusion_matrix"]),
        cards=cards,
        training=training,
        compare=compare,
        **content,
    )


def fill_template(
    name: str,
    *,
    page_data: dict,
    scripts: Sequence[str],
    styles: Sequence[str] = ("report.css",),
    **content,
) -> str:
    """Fills in a template of this folder.

    Args:
        name: Its file.
        page_data: What the scripts draw.
        scripts: Files of scripts, which run in this order as one.
        styles: Files of styles.
        **content: What else the template names.

    Returns:
        The page.
    """
    script = "".join((_FOLDER / x).read_text(encoding="utf-8") for x in scripts)
    digest = hashlib.sha256(script.encode()).digest()
    template = _make_environment().get_template(name)
    return template.render(
        page_data=_replace_nan(page_data),
        style="".join((_FOLDER / x).read_text(encoding="utf-8") for x in styles),
        script=script,
        script_sha256=base64.b64encode(digest).decode(),
        **content,
    )


def _make_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` escapes <, > and & as well, so no name can end the element that it stands in.
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "ensure_ascii": False,
        "separators": (",", ":"),
    }
    environment.filters["percent"] = _format_percent
    environment.filters["of"] = name_count
    environment.filters["isolate"] = _isolate
    return environment


def _format_percent(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f} %"


def _isolate(name: str) -> str:
    """Keeps a name that is read from right to left from turning the text around it, as <bdi>."""
    # Invisible, but not in every window's title: only where there may be need.
    return name if name.isascii() else f"\u2068{name}\u2069"


def _replace_nan(value):
    """Returns data with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _replace_nan(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_nan(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
