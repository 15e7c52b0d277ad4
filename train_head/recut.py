"""Prints the command that extracts the clips of a cache once more, cut for fine-tuning.

`make finetune` runs it: clips, splits and all else that decides a feature are those of the cache
that the head is trained on, so what is tested there is not trained on here.
"""

from absl import flags

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import cache_flag

adopt_flags(cache_flag)

_NEW_CACHE_DIR = flags.DEFINE_string(
    "new_cache_dir", None, "Feature cache that the command makes.", required=True
)


def main() -> None:
    from train_head.run.reproduction import make_extraction_command
    from train_head.training.fine_tuning import CUT

    cache = cache_flag.read_named_cache()
    print(make_extraction_command(cache, cache_dir=_NEW_CACHE_DIR.value, cut=CUT))


if __name__ == "__main__":
    run_program(main)
