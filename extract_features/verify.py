"""Reads every byte of a feature cache and names each file that is not as it should be."""

import contextlib
from collections import Counter
from pathlib import Path

from absl import flags, logging

from lrcn.common.programs.program import run_program

_CACHE_DIR = flags.DEFINE_string("cache_dir", None, "Folder of the feature cache.", required=True)
_REPAIR = flags.DEFINE_bool(
    "repair",
    False,
    "Remove what is damaged, stale or foreign, so that the next extraction makes just that anew. "
    "What has lost its source stays.",
)


def main() -> int:
    from extract_features.verification import ERRORS, KINDS, iter_findings, remove_file
    from lrcn.common.cache.cache_lock import lock_cache
    from lrcn.common.cache.open_cache import read_cache

    cache = read_cache(Path(_CACHE_DIR.value))
    counts: Counter[str] = Counter()
    num_repairable = num_removed = 0
    with lock_cache(cache.cache_dir) if _REPAIR.value else contextlib.nullcontext():
        for finding in iter_findings(cache):
            print(finding, flush=True)
            counts[finding.kind] += 1
            num_repairable += finding.is_repairable
            if _REPAIR.value:
                num_removed += remove_file(cache, finding)
    logging.info("%s: %s", cache.cache_dir, ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS))
    if not any(counts[kind] for kind in ERRORS):
        return 0
    if _REPAIR.value:
        logging.info("Files removed: %d", num_removed)
    elif num_repairable:
        logging.info("--repair removes what is damaged, stale or foreign")
    if num_removed or counts["missing"]:
        logging.info("Run the extraction (or import) again: it makes what is missing alone")
    return 1


if __name__ == "__main__":
    run_program(main)
