"""Finds near-duplicate clips across splits on the cached features; prints them by similarity.

A similarity is a cosine: 1 of clips with the same frames, around 0 of unrelated ones. It is printed
for the means of two clips, which count from --threshold on, and for their two most alike frames,
which count where they are the same.
"""

from absl import flags, logging

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import cache_flag, manifest_flag

adopt_flags(cache_flag, manifest_flag)

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder of audit.json; made where there is none.", required=True
)
_THRESHOLD = flags.DEFINE_float(
    "threshold",
    None,
    "Similarity from which a pair counts as near-duplicate; that of the same frames is 1. Of the "
    "closest 50 pairs, those with a frame in common count at any similarity. Where it is given, "
    "the program fails (status 1) if a pair counts; left out, it is 0.95, and nothing fails.",
    lower_bound=-1.0,
    upper_bound=1.0,
)


def main() -> int:
    from lrcn.common.cache.run_dir import check_output_dir, write_json
    from lrcn.common.files.atomic_file import check_can_write
    from lrcn.common.files.made_folders import find_missing, remove_empty
    from train_head.studies.audit_text import format_audit
    from train_head.studies.near_duplicates import NEAR_DUPLICATE, find_near_duplicates

    threshold = NEAR_DUPLICATE if _THRESHOLD.value is None else _THRESHOLD.value
    path = check_output_dir(_OUTPUT_DIR.value) / "audit.json"
    cache = cache_flag.read_named_cache()
    manifest_path = manifest_flag.read_manifest_path()
    made = find_missing(path.parent)
    try:
        # Before all clips are compared: where it cannot be written, nobody waits for that.
        path.parent.mkdir(parents=True, exist_ok=True)
        check_can_write(path.parent)
        audit = find_near_duplicates(cache, threshold=threshold, manifest_path=manifest_path)
        write_json(path, audit)
    finally:
        remove_empty(made)  # where clips are refused
    print(format_audit(audit))
    logging.info("Written: %s", path)
    if not audit["num_pairs"]:
        return 0
    is_failure = _THRESHOLD.value is not None
    logging.log(
        logging.ERROR if is_failure else logging.WARNING,
        "Near duplicates across splits make scores too good. Give them one group (the manifest's "
        "group column, --group_regex) and extract or import again, or take one of each pair out.",
    )
    return 1 if is_failure else 0


if __name__ == "__main__":
    run_program(main)
