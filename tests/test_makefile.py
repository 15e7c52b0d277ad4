"""What make hands to the programs, as `make -n` prints it."""

import os
import re
import shlex
import subprocess

import pytest
from commands import ROOT

# What `make test` itself was given is not meant for these.
_OUTER = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "FLAGS", "PYTHON"}


def run_make(*arguments, cwd=ROOT):
    env = {name: value for name, value in os.environ.items() if name not in _OUTER}
    return subprocess.run(
        ["make", "-n", *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


def list_flags(*arguments, cwd=ROOT):
    """Returns the last command's words behind `python -m <program>`, as the shell cuts them."""
    done = run_make(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("\\\n", "").splitlines()
    return shlex.split([line for line in lines if " -m " in line][-1])[3:]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("my clips", "my clips"),
        ("/a b/my  clips/", "my  clips"),
        ("it's.csv", "it's"),
        ('"so" `x`;y', '"so" `x`;y'),
    ],
)
def test_what_users_name_stays_one_word(data, name):
    assert list_flags("features", f"DATA={data}", f"WEIGHTS={data}") == [
        f"--data={data}",
        f"--weights={data}",
        f"--cache_dir=work/{name}/cache",
    ]
    assert list_flags("evaluate", f"CACHE={data}", f"RUN={data}", "FLAGS=--split=val") == [
        f"--cache_dir={data}",
        f"--run_dir={data}",
        "--split=val",
    ]
    assert list_flags("predict", "RUN=r", f"CLIPS={shlex.quote(data)}") == ["--run_dir=r", data]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("..", "my data"),
        ("../", "my data"),
        (".", "a b"),
        ("x/..", "a b"),
        ("clips/../../it's", "it's"),
        ("./c d.csv", "c d"),
        ("clips//", "clips"),
    ],
)
def test_the_cache_is_named_after_the_folder_that_dots_lead_to(tmp_path, data, name):
    folder = tmp_path / "my data" / "a b"
    folder.mkdir(parents=True)
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        (folder / file).symlink_to(ROOT / file)
    assert list_flags("features", f"DATA={data}", cwd=folder) == [
        f"--data={data}",
        f"--cache_dir=work/{name}/cache",
    ]


def test_flags_of_the_readme_reach_the_program():
    (line,) = re.findall("`make (features .*?)`", (ROOT / "README.md").read_text())
    regex = "--group_regex=subject([0-9]+)"
    assert list_flags(*shlex.split(line)) == ["--data=clips", "--cache_dir=work/clips/cache", regex]


@pytest.mark.parametrize("data", ["", " "])
def test_an_empty_name_is_not_the_sample(data):
    done = run_make("train", f"DATA={data}")
    assert done.returncode == 2 and done.stdout == ""
    assert "*** DATA is empty. Name a folder or a .csv" in done.stderr


def test_the_report_has_what_was_made_of_data_with_a_blank(tmp_path):
    arguments = ("report", f"WORK={tmp_path}", "DATA=my clips")
    run = tmp_path / "my clips"
    plain = [f"--cache_dir={run}/cache", f"--run_dir={run}/run"]
    (tmp_path / "my").mkdir()
    assert list_flags(*arguments) == plain
    for name in ("compare", "audit"):
        (run / name).mkdir(parents=True)
        (run / name / f"{name}.json").touch()
    found = [f"--compare_dir={run}/compare", f"--audit_dir={run}/audit"]
    assert list_flags(*arguments) == plain + found


def test_an_unknown_variable_is_named():
    done = run_make("train", "DAT=clips")
    assert done.returncode == 2 and done.stdout == ""
    assert "*** Unknown variable DAT. Expected some of DATA CACHE RUN WEIGHTS" in done.stderr
