"""Writes report.html into a run: its score, its mistakes and how to make it once more."""

from pathlib import Path

from absl import flags, logging

from lrcn.common.program import run_program

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Feature cache that the run was trained on.", required=True
)
_COMPARE_DIR = flags.DEFINE_string(
    "compare_dir", None, "What train_head.compare wrote, to be shown too."
)
_AUDIT_DIR = flags.DEFINE_string("audit_dir", None, "What train_head.audit wrote, to be shown too.")


def main() -> int:
    from lrcn.common.open_cache import read_cache
    from lrcn.common.run_dir import RunDir
    from train_head.reporting import write_report

    run = RunDir(_RUN_DIR.value)
    write_report(
        run,
        read_cache(_CACHE_DIR.value),
        compare_dir=None if _COMPARE_DIR.value is None else Path(_COMPARE_DIR.value),
        audit_dir=None if _AUDIT_DIR.value is None else Path(_AUDIT_DIR.value),
    )
    logging.info("%.2g MB; open it in a browser", run.report_path.stat().st_size / 1e6)
    print(run.report_path)
    return 0


if __name__ == "__main__":
    run_program(main)
