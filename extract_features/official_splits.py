"""Writes a manifest for each official split of UCF101 or HMDB51, and prints their paths."""

from pathlib import Path

from absl import flags

from lrcn.common.programs.program import run_program

_LISTS = flags.DEFINE_string(
    "lists",
    None,
    "Folder of the official lists: trainlist01.txt, testlist01.txt, ... of UCF101, or "
    "<class>_test_split1.txt, ... of HMDB51.",
    required=True,
)
_DATA = flags.DEFINE_string(
    "data",
    None,
    "The clips: the folder of videos, or a .csv manifest such as a cache's own. A clip is found by "
    "its name, so frame folders and videos of another suffix will do.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the manifests split_1.csv, ...; made where there is none.",
    required=True,
)
_VAL_FRACTION = flags.DEFINE_float(
    "val_fraction",
    0.0,
    "Part of each class's clips to draw for validation, by group and from its train clips alone. "
    "The lists have no validation clips, and results compare with others only if all train clips "
    "are trained on.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Decides which groups are drawn for validation.")


def main() -> None:
    from extract_features.official_manifests import write_official_manifests
    from lrcn.common.cache.run_dir import check_output_dir

    for path in write_official_manifests(
        Path(_LISTS.value),
        data=Path(_DATA.value),
        output_dir=check_output_dir(_OUTPUT_DIR.value),
        val_fraction=_VAL_FRACTION.value,
        seed=_SEED.value,
    ):
        print(path)


if __name__ == "__main__":
    run_program(main)
