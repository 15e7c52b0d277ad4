"""Renders the built-in sample, small clips of moving shapes, and prints its manifest's path."""

from pathlib import Path

from absl import flags

from lrcn.common.programs.program import run_program

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the sample; made where there is none. A finished sample is left alone.",
    required=True,
)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the clips.", lower_bound=0)
_CLIPS_PER_CLASS = flags.DEFINE_integer(
    "clips_per_class", 100, "Clips of each of the six motions.", lower_bound=3
)


def main() -> None:
    from extract_features.sample import render_sample

    print(
        render_sample(
            Path(_OUTPUT_DIR.value), seed=_SEED.value, clips_per_class=_CLIPS_PER_CLASS.value
        )
    )


if __name__ == "__main__":
    run_program(main)
