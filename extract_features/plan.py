"""Tells what an extraction will take, before it is paid: clips, frames, bytes and time.

Frames are those that files state, or a rate and a duration: of a video of a variable rate that is
no MP4 they may be several times as many, or as few. Ends with status 1 where clips are seen not to
be readable, or the disk is too small. Damage behind a file's beginning is seen by the extraction
alone.
"""

from absl import logging

from extract_features import backbone_flags, data_flags
from lrcn.common.programs.program import adopt_flags, run_program

adopt_flags(data_flags, backbone_flags)

_NAMED_UNREADABLE = 5


def main() -> int:
    data_settings, cache_dir = data_flags.read_data_settings()
    backbone_settings, batch_options = backbone_flags.read_backbone_settings()
    from extract_features.disk_space import describe_lack_of_space
    from extract_features.planning import make_plan

    plan = make_plan(data_settings, backbone_settings, cache_dir=cache_dir, **batch_options)
    print(plan)
    for clip, reason in plan.unreadable[:_NAMED_UNREADABLE]:
        logging.warning("unreadable: %s: %s", clip.clip_id, reason)
    if plan.has_failures:
        logging.error(
            "Clips that an extraction would fail for: %d. Mend or remove them%s",
            len(plan.unreadable),
            ", or go on without: --skip_unreadable" if plan.can_skip else "",
        )
    message = describe_lack_of_space(plan.needed_bytes, plan.folder)
    if message is not None:
        logging.error("%s", message)
    return 1 if plan.has_failures or message is not None else 0


if __name__ == "__main__":
    run_program(main)
