"""What the columns of classes are called in tables that have other columns too.

A class may be called as another column is, such as `label`. Who reads a table by names of columns
would take the one for the other, so the class' column is then `class label`.
"""

import re
from collections.abc import Sequence

# A class of such a name with `class ` before it gets one more, so that each name comes back.
_TAKEN = re.compile(
    "(?:class )*(?:clip|clip_id|frame_index|timestamp_sec|label|predicted|influence)"
)


def name_columns(class_names: Sequence[str]) -> list[str]:
    """Returns the column of each class: its name, unless that is another column's."""
    return [f"class {name}" if _TAKEN.fullmatch(name) else name for name in class_names]


def find_column_classes(columns: Sequence[str]) -> list[str]:
    """Returns the classes of such columns, also of an earlier version's, which were all called as
    their class is.
    """
    return [x.removeprefix("class ") if _TAKEN.fullmatch(x) else x for x in columns]
