"""Labels and groups that look alike: refused by Unicode form, told of by case and the like."""

import logging
import unicodedata

import pytest
from commands import run_program
from refusals import refusal
from small_data import write_csv

from extract_features.given_data import DataSettings, read_given_data
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import find_class_ids, read_class_names, read_manifest

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
TEXTS = "'caf\\xe9' and 'cafe\\u0301'. Write both in one Unicode form."


@pytest.mark.parametrize("column", ["label", "group"])
def test_labels_and_groups_of_two_unicode_forms_are_refused(tmp_path, column):
    rows = [f"c{i},c{i}.mp4,walk,{x}" for i, x in enumerate([DECOMPOSED, "tea", COMPOSED])]
    header = "clip_id,path,label,group" if column == "group" else "clip_id,path,group,label"
    path = write_csv(tmp_path, "\n".join([header, *rows]))
    flags = (f"--data={path}", f"--cache_dir={tmp_path}/c")
    done = run_program("extract_features", *flags, check=False)
    assert done.returncode == 1
    assert (
        f"error: {path}:4: {column} '{COMPOSED}' looks like '{DECOMPOSED}' ({path}:2), but is "
        f"another text: {TEXTS}"
    ) in done.stderr
    assert not (tmp_path / "c").exists()


def test_class_names_of_two_unicode_forms_are_refused(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text(f"{DECOMPOSED}\n{COMPOSED}\n", encoding="utf-8")
    with refusal(f"{path}:2: class name '{COMPOSED}' looks like '{DECOMPOSED}' ({path}:1), but"):
        read_class_names(path)
    with refusal(
        f"clip 'a': label '{COMPOSED}' looks like '{DECOMPOSED}' ({path}), but is another"
    ):
        find_class_ids([Clip("a", "a", COMPOSED)], ["tea", DECOMPOSED], where=path)


def test_labels_that_differ_by_case_are_told_of(clips_dir, cache_copy, tmp_path):
    clips = read_manifest(cache_copy / "manifest.csv")
    labels = [x.label.title() if i % 2 else x.label for i, x in enumerate(clips)]
    rows = [f"{x.clip_id},{x.path},{label}" for x, label in zip(clips, labels, strict=True)]
    path = write_csv(tmp_path, "\n".join(["clip_id,path,label", *rows]))
    with open(cache_copy / "classes.txt", "a") as file:
        file.write("Left\nRight\n")
    flags = (f"--data={path}", f"--data_root={clips_dir}", f"--cache_dir={cache_copy}")
    done = run_program("extract_features", *flags)
    assert (
        "Labels that differ by case, zeros (01, 1.0) or unseen signs alone count as several (2): "
        "'Left' and 'left', 'Right' and 'right'. Write them alike if they are meant as one"
    ) in done.stderr
    assert len({x.label for x in read_manifest(cache_copy / "manifest.csv")}) == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ann", "ann"),
        ("s01", "s1"),
        ("1", "1.0"),
        ("-01", "-1.00"),
        ("Ann Lee", "Ann\u00a0Lee"),
        ("Ann", "Ann\u200b"),
    ],
)
@pytest.mark.parametrize(("column", "kind"), [("label", "Labels"), ("group", "Groups")])
def test_labels_and_groups_that_readers_take_for_one_are_told_of(
    tmp_path, caplog, column, kind, first, second
):
    names = [first, "Bo", second, "s10", first]
    other = {"label": "group", "group": "label"}[column]
    rows = [f"c{i},c{i}.mp4,{name},{other[0]}" for i, name in enumerate(names)]
    path = write_csv(tmp_path, "\n".join([f"clip_id,path,{column},{other}", *rows]))
    caplog.set_level(logging.WARNING)
    # Without a test split, which one group cannot have.
    read_given_data(DataSettings(data=path, test_fraction=0.0), None)
    message = (
        f"{kind} that differ by case, zeros (01, 1.0) or unseen signs alone count as several (1): "
        f"{first!r} and {second!r}. Write them alike if they are meant as one"
    )
    assert caplog.messages.count(message) == 1
