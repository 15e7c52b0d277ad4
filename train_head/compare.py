"""Trains the head beside simpler ones, several seeds each: does the RNN earn its place?

Prints a table and a verdict, and writes compare.json and compare.png. Each model and seed is an
ordinary run; a comparison that was cut off goes on. Flags that train_head has hold for all models,
but for those in which the models differ.
"""

from pathlib import Path

from absl import flags, logging

from lrcn.common.program import run_program
from train_head import cache_flag, manifest_flag, train_flags
from train_head.cache_flag import read_named_cache
from train_head.manifest_flag import read_manifest_path

# --help lists the flags of the program's own file and of those it adopts: all but those it refuses.
_REFUSED = ("labels", "frame_labels", "rnn", "frame_order")
for _flag in flags.FLAGS.get_key_flags_for_module(train_flags):
    if _flag.name not in _REFUSED:
        flags.declare_key_flag(_flag.name)
flags.adopt_module_key_flags(cache_flag)
flags.adopt_module_key_flags(manifest_flag)

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
    for name in ("rnn", "frame_order"):
        if flags.FLAGS[name].present:
            raise ValueError(f"--{name}: the models of the comparison differ in it. Leave it out.")
    if config.seed + _SEEDS.value > 2**32:
        raise ValueError(f"--seed={config.seed}: expected {_SEEDS.value} seeds from it below 2^32.")
    return config


def main() -> int:
    config = _read_config()

    from lrcn.common.run_dir import write_json
    from train_head.comparison import compare_models
    from train_head.comparison_plot import draw_comparison
    from train_head.comparison_text import format_table
    from train_head.training_data import TrainingData

    output_dir = Path(_OUTPUT_DIR.value)
    comparison = compare_models(
        config,
        TrainingData(
            read_named_cache(),
            manifest_path=read_manifest_path(),
            weights=train_flags.WEIGHTS.value,
        ),
        output_dir=output_dir,
        num_seeds=_SEEDS.value,
        checkpoint_sec=train_flags.CHECKPOINT_SEC.value,
    )
    json_path, picture_path = output_dir / "compare.json", output_dir / "compare.png"
    write_json(json_path, comparison)
    draw_comparison(picture_path, comparison)
    print(format_table(comparison))
    logging.info("Written: %s and %s", json_path, picture_path)
    return 0


if __name__ == "__main__":
    run_program(main, check_flags=_read_config)
