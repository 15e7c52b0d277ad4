"""Near duplicates as a table for a terminal."""

from lrcn.common.files.escaped_text import escape_control
from lrcn.common.programs.wording import name_count, pad_names
from train_head.studies.near_duplicates import SAME_FRAMES

# Pairs that do not count and are printed all the same: they tell how far off the closest are.
_NUM_BELOW = 10


def format_audit(audit: dict) -> str:
    """Renders what `near_duplicates.find_near_duplicates` returns."""
    pairs = audit["pairs"][: audit["num_pairs"] + _NUM_BELOW]  # those that count come first
    names = pad_names([pair["clip_a"] for pair in pairs])
    lines = ["similarity  of frames  clips (split, label)"]
    for name, pair in zip(names, pairs, strict=True):
        first, second = (
            escape_control(f"({pair[f'split_{side}']}, {pair[f'label_{side}']})")
            for side in ("a", "b")
        )
        same = ""
        if pair["similarity"] >= SAME_FRAMES:
            same = "  same frames"  # a clip that is played backwards has them too
        elif pair["frame_similarity"] >= SAME_FRAMES:
            same = "  a frame in common"
        lines.append(
            f"{pair['similarity']:10.3f}  {pair['frame_similarity']:9.3f}  "
            f"{name} {first}  {escape_control(pair['clip_b'])} {second}{same}"
        )
    num_left_out = len(audit["pairs"]) - len(pairs)
    if num_left_out:
        more = name_count(num_left_out, "pair")
        lines.append(f"audit.json has {more} more, less alike than these.")
    return "\n".join(
        [
            *lines,
            "",
            f"In different splits with a similarity of {audit['threshold']:g} or more, or a frame "
            f"in common: {name_count(audit['num_pairs'], 'pair')} of the {audit['num_clips']:,} "
            "clips.",
        ]
    )
