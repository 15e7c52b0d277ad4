"""Ranks clips by how much heads that were not trained on them doubt their labels.

Writes label_noise.csv with all clips and label_noise.png with frames of the first; prints those as
a table. All clips of the cache are judged, whatever their split. What was cut off goes on. The
margin is the label's probability less that of the most probable other class: of clips below 0
another class is predicted.
"""

from absl import flags, logging

from lrcn.common.programs.program import adopt_flags, run_program
from train_head.flags import train_flags

adopt_flags(train_flags, but=("labels", "frame_labels"))

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the ranking and its runs; made where there is none.",
    required=True,
)
_FOLDS = flags.DEFINE_integer(
    "folds",
    5,
    "Parts of the clips, by group; each is judged by a head trained on the others. More judge "
    "better and take longer.",
    lower_bound=2,
)
_NUM_SHOWN = 20


def main() -> None:
    config = train_flags.read_train_config()

    from lrcn.common.cache.run_dir import check_output_dir
    from train_head.studies.label_doubt import format_doubts, rank_labels, write_doubts
    from train_head.studies.label_doubt_sheet import draw_doubts

    output_dir = check_output_dir(_OUTPUT_DIR.value)
    data = train_flags.read_training_data()
    doubts = rank_labels(
        config,
        data,
        output_dir=output_dir,
        num_folds=_FOLDS.value,
        checkpoint_sec=train_flags.CHECKPOINT_SEC.value,
    )
    table_path, sheet_path = output_dir / "label_noise.csv", output_dir / "label_noise.png"
    write_doubts(table_path, doubts)
    print(format_doubts(doubts, num_shown=_NUM_SHOWN))
    logging.info("Written: %s", table_path)
    if draw_doubts(sheet_path, doubts[:_NUM_SHOWN], cache=data.cache):
        logging.info("Written: %s", sheet_path)


if __name__ == "__main__":
    run_program(main, check_flags=train_flags.read_train_config)
