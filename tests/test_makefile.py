"""What make hands to the programs, as `make -n` prints it."""

import re
import shlex
import subprocess
import sys

import pytest
from commands import ROOT, run_program
from make_commands import list_flags, run_make


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("my clips", "my clips"),
        ("/a b/my  clips/", "my  clips"),
        ("it's.csv", "it's"),
        ('"so" `x`;y', '"so" `x`;y'),
        ("my\tclips", "my clips"),
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
        ("x/train.CSV", "train"),
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


def test_a_set_up_that_was_stopped_is_made_again(tmp_path):
    for file in ("requirements.lock", "pyproject.toml"):
        (tmp_path / file).touch()
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    # What is there of an environment before pip is.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho $* | grep -q -- -c || { echo made: $*; exit 1; }\n")
    python.chmod(0o755)
    done = run_make("setup", f"PYTHON={python}", cwd=tmp_path, dry=False)
    assert done.stdout == "made: -m venv .venv\n"


def test_flags_of_the_readme_reach_the_program():
    (line,) = re.findall("`make (features .*?)`", (ROOT / "README.md").read_text())
    regex = "--group_regex=subject([0-9]+)"
    assert list_flags(*shlex.split(line)) == ["--data=clips", "--cache_dir=work/clips/cache", regex]


def test_help_fits_in_80_columns(make):
    lines = make("WORK=work", "VENV=.venv").stdout.splitlines()
    assert lines and [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("target", ["predict", "finetune"])
def test_weights_that_moved_reach_what_reads_them(target):
    flags = list_flags(target, "DATA=clips", "WEIGHTS=my vgg16.h5", "CLIPS=new.mp4")
    assert "--weights=my vgg16.h5" in flags
    # The sample's are no choice of the user's, and RUN may be of others.
    assert not any(flag.startswith("--weights") for flag in list_flags(target, "CLIPS=new.mp4"))


@pytest.mark.parametrize(
    ("name", "value", "signs"),
    [
        ("FLAGS", "--group_regex=s([0-9]+)", "( )"),
        ("FLAGS", "--group_regex=s[0-9]{1,2}", "{"),
        ("FLAGS", "--manifest=a;b.csv", ";"),
        ("FLAGS", "--manifest=a&b.csv", "&"),
        ("CLIPS", "new(1).mp4", "( )"),
    ],
)
def test_signs_that_the_shell_would_read_are_told_of(name, value, signs):
    done = run_make("predict", "DATA=clips", f"{name}={value}")
    assert done.returncode == 2 and done.stdout == ""
    assert f"*** {name}={value}: the shell reads {signs} itself. Put what has it" in done.stderr
    (remedy,) = re.findall(f"""such as {name}=(".*")""", done.stderr)
    (example,) = shlex.split(remedy)
    assert list_flags("predict", "DATA=clips", f"{name}={example}")[-1] == shlex.split(example)[0]
    assert list_flags("predict", "DATA=clips", f"{name}={shlex.quote(value)}")[-1] == value


@pytest.mark.parametrize(
    ("name", "value"), [("FLAGS", "'--group_regex=s[0-9]+$'"), ("DATA", "my$clips")]
)
def test_a_dollar_that_make_would_drop_is_told_of(name, value):
    done = run_make("features", "DATA=clips", f"{name}={value}")
    assert done.returncode == 2 and done.stdout == ""
    assert f"*** {name}={value}: make reads $ itself. Write $$ for it.  Stop." in done.stderr
    flags = list_flags("features", "DATA=clips", f"{name}={value.replace('$', '$$')}")
    assert shlex.split(value)[0] in [flag.removeprefix("--data=") for flag in flags]


@pytest.mark.parametrize("name", ["FLAGS", "DATA"])
def test_a_line_at_which_make_would_cut_a_command_is_told_of(make, name):
    done = make("features", f"{name}=--seed=1\n  --val_fraction=0", status=2)
    assert f"*** {name} has several lines, of which make reads the first. Write" in done.stderr


@pytest.mark.parametrize("data", ["", " "])
def test_an_empty_name_is_not_the_sample(data):
    done = run_make("train", f"DATA={data}")
    assert done.returncode == 2 and done.stdout == ""
    assert "*** DATA is empty. Name a folder or a .csv, or leave DATA out for the" in done.stderr


@pytest.mark.parametrize("name", ["CACHE", "RUN", "COMPARE", "AUDIT"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_folder_is_not_the_current_one(name, value):
    done = run_make("train", "DATA=clips", f"{name}={value}")
    assert done.returncode == 2 and done.stdout == ""
    assert f"*** {name} is empty. Name a folder, or leave {name} out.  Stop." in done.stderr


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
    expected = "DATA CACHE RUN COMPARE AUDIT WEIGHTS FLAGS CLIPS PYTHON"
    assert f"*** Unknown variable DAT. Expected some of {expected}.  Stop." in done.stderr


@pytest.mark.parametrize("target", ["evaluate", "report"])
def test_a_run_of_unknown_data_is_not_scored_on_the_sample(target):
    # Not in `work`, where who ran make has what a report shows beside the run.
    done = run_make(target, "WORK=gone", "RUN=gone/clips/run")
    assert done.returncode == 2 and "train_head" not in done.stdout
    assert "*** RUN=gone/clips/run is not of the sample. Name the clips that it was" in done.stderr
    flags = list_flags(target, "WORK=gone", "RUN=gone/sample/run_1")
    assert flags == ["--cache_dir=gone/sample/cache", "--run_dir=gone/sample/run_1"]
    flags = list_flags(target, "WORK=gone", "RUN=mine", "DATA=clips")
    assert flags == ["--cache_dir=gone/clips/cache", "--run_dir=mine"]


@pytest.mark.parametrize("target", ["train", "finetune", "compare", "audit", "evaluate", "report"])
def test_a_wrong_flag_is_answered_before_anything_is_made(make, tmp_path, target):
    data = f"DATA={tmp_path}/clips"
    done = make(target, data, "FLAGS=seed", status=2)
    assert "error: Expected flags only. Received: ['seed']." in done.stderr
    # It knows all by their names that only stage 1 takes.
    done = make(target, data, "FLAGS=--verbosity=0 --skip_unreadable=1", status=2)
    assert "error: --skip_unreadable is a flag of stage 1. Give it to make features" in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_wrong_flag_is_told_as_the_program_tells_it(make):
    done = make("train", "FLAGS=--sed=1", status=2)
    assert "Unknown command line flag 'sed'" in done.stderr and "stage 1" not in done.stderr
    done = make("train", "FLAGS=--seq_len=8,9", status=2)
    assert "Flags parsing error" in done.stderr
    done = make("train", "FLAGS=--verbosity=0 --image_size=1", status=2)
    assert "error: --image_size is a flag of stage 1. Give it to make features" in done.stderr
    # A cache that is named is not cut anew.
    done = make("finetune", "CACHE=mine", "FLAGS=--image_size=64", status=2)
    assert "(with the same DATA and CACHE, and FLAGS=--cut=block4_pool), then run" in done.stderr


def test_the_benchmarks_share_their_flags(make):
    done = run_make("bench", "FLAGS=--rounds=5")
    programs = ("stage1_speed", "stage2_speed", "fine_tune_speed")
    for program in programs:
        assert f"-m benchmarks.{program} --rounds=5\n" in done.stdout
        shown = run_program(f"benchmarks.{program}", "--help", check=False).stdout
        assert "  --rounds: Times that each row is timed." in shown
    done = make("bench", "FLAGS=--round=5", status=2)
    assert done.stdout == "" and "Did you mean: rounds ?" in done.stderr
    done = make("bench", "FLAGS=--image_size=64", status=2)
    assert "flag 'image_size'" in done.stderr and "make features" not in done.stderr


def test_help_of_a_program_comes_before_anything_is_made(make, tmp_path):
    done = make("train", f"DATA={tmp_path}/clips", "FLAGS=--help", status=2)
    assert "--seq_len: " in done.stdout
    assert "stage 1" not in done.stderr and not (tmp_path / "work").exists()
