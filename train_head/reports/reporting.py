"""The report of a run as one function: numbers, pictures, page."""

from pathlib import Path

from absl import logging

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir
from lrcn.common.files.atomic_file import check_can_write, write_text
from lrcn.common.files.escaped_text import escape_surrogates
from train_head.head.run_model import check_model_version, load_model, read_model_version
from train_head.predictions.explanation import Explainer
from train_head.reports import report_data
from train_head.reports.frame_report import render_frame_page
from train_head.reports.report_page import render_page
from train_head.reports.report_strips import make_cards, make_pair_pictures
from train_head.run.config import read_config
from train_head.run.run_sources import check_fits_cache
from train_head.scores.held_out import score_run


def write_report(
    run: RunDir,
    cache: FeatureCache,
    *,
    compare_dir: Path | None = None,
    audit_dir: Path | None = None,
) -> None:
    """Writes `report.html` into the run, over an earlier one.

    Args:
        run: A trained run; it is scored where it was not yet.
        cache: The cache that it was trained on.
        compare_dir: What `train_head.compare` wrote, if it is to be shown; not of a run with a
            label for every frame.
        audit_dir: What `train_head.audit` wrote, if it is to be shown.

    Raises:
        FileNotFoundError: If run, clips, or the named results are missing.
        ValueError: If the cache is not that of the run, no clip is held out, or the files of the
            run do not fit each other.
        PermissionError: If the run cannot be written to.
        RuntimeError: If the run got another model, or was scored on others, meanwhile.
    """
    model_version = read_model_version(run)
    check_fits_cache(run, cache)
    run.check_has(run.flags_path, run.history_path)
    check_can_write(run.path)
    compare = audit = None
    if compare_dir is not None or audit_dir is not None:
        wanted = report_data.describe_run(run, cache)  # every clip's file is opened: once for both
        compare = None if compare_dir is None else report_data.read_compare(compare_dir, wanted)
        audit = None if audit_dir is None else report_data.read_audit(audit_dir, wanted)
    config = read_config(run)
    if audit is not None:
        make_pair_pictures(audit["pairs"], cache=cache)
    scores = score_run(run, cache)
    if scores is None:
        raise ValueError(
            f"{run.manifest_path}: expected test or val clips to report on. Received: train clips "
            "only. Give some of them another split, and train again."
        )
    content = {
        "run_name": run.path.resolve().name,
        "scores": scores,
        "training": report_data.summarize_training(run),
        "audit": audit,
        "origin": report_data.describe_origin(run, cache, scores),
    }
    if config.labels == "frame":
        if compare is not None:
            logging.warning(
                "%s: compares heads that give each clip one label, so the report of a run with "
                "--labels=frame leaves it out",
                compare_dir,
            )
        page = render_frame_page(run, is_fixed=config.sequence == "fixed", **content)
    else:
        scored = report_data.read_scored_clips(run, cache, split=scores["split"])
        explainer = Explainer(load_model(run))
        cards, failures = make_cards(scored, cache=cache, explainer=explainer, config=config)
        page = render_page(
            scored=scored, cards=cards, failures=failures, compare=compare, **content
        )
    check_model_version(run, model_version)
    write_text(run.report_path, escape_surrogates(page))
