"""Writes report.html into a run: its score, its mistakes and how to make it once more."""

from pathlib import Path

from absl import flags, logging

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import cache_flag

adopt_flags(cache_flag)

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a trained run.", required=True)
_COMPARE_DIR = flags.DEFINE_string(
    "compare_dir", None, "What train_head.compare wrote, to be shown too."
)
_AUDIT_DIR = flags.DEFINE_string("audit_dir", None, "What train_head.audit wrote, to be shown too.")


def main() -> None:
    from lrcn.common.cache.run_dir import RunDir
    from train_head.reports.reporting import write_report

    run = RunDir(_RUN_DIR.value)
    write_report(
        run,
        cache_flag.read_named_cache(),
        compare_dir=None if _COMPARE_DIR.value is None else Path(_COMPARE_DIR.value),
        audit_dir=None if _AUDIT_DIR.value is None else Path(_AUDIT_DIR.value),
    )
    logging.info("%.2g MB; open it in a browser", run.report_path.stat().st_size / 1e6)
    print(run.report_path)


if __name__ == "__main__":
    run_program(main)
