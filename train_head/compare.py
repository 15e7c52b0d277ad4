"""Trains the head beside simpler ones, several seeds each: does the RNN earn its place?

Prints a table and a verdict, and writes compare.json and compare.png. Each model and seed is an
ordinary run; a comparison that was cut off goes on. Flags of train_head hold for all models, except
for the settings that make a model what it is.
"""

from absl import flags, logging

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import manifest_flag, train_flags

# The models differ in these.
_REFUSED = ("rnn", "frame_order")
adopt_flags(manifest_flag, train_flags, but=("labels", "frame_labels", *_REFUSED))

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the comparison and its runs; made where there is none.",
    required=True,
)
_SEEDS = flags.DEFINE_integer(
    "seeds",
    3,
    "Runs of each model, with the seeds from --seed on; time grows with it.",
    lower_bound=1,
)


def _read_config():
    config = train_flags.read_train_config()
    for name in _REFUSED:
        if flags.FLAGS[name].present:
            raise ValueError(f"--{name}: the models of the comparison differ in it. Leave it out.")
    if config.seed + _SEEDS.value > 2**32:
        raise ValueError(
            f"--seed={config.seed}: expected {_SEEDS.value} seeds from it below 2^32. Lower it."
        )
    return config


def main() -> None:
    config = _read_config()

    from lrcn.common.cache.run_dir import check_output_dir, write_json
    from train_head.studies.comparison import compare_models
    from train_head.studies.comparison_plot import draw_comparison
    from train_head.studies.comparison_text import format_table

    output_dir = check_output_dir(_OUTPUT_DIR.value)
    comparison = compare_models(
        config,
        train_flags.read_training_data(manifest_flag.read_manifest_path()),
        output_dir=output_dir,
        num_seeds=_SEEDS.value,
        checkpoint_sec=train_flags.CHECKPOINT_SEC.value,
    )
    json_path, picture_path = output_dir / "compare.json", output_dir / "compare.png"
    write_json(json_path, comparison)
    draw_comparison(picture_path, comparison)
    print(format_table(comparison))
    logging.info("Written: %s and %s", json_path, picture_path)


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
