"""What every command line does alike: it answers quickly, and keeps stdout for results."""

import functools
import re

import pytest
from commands import ROOT, run_and_list_imports, run_program

# A flag of each program.
PROGRAMS = {
    "extract_features": "image_size",
    "extract_features.import_features": "features",
    "extract_features.official_splits": "lists",
    "extract_features.plan": "image_size",
    "extract_features.render_sample": "output_dir",
    "extract_features.verify": "repair",
    "train_head": "run_dir",
    "train_head.audit": "threshold",
    "train_head.compare": "output_dir",
    "train_head.cross_validate": "manifests",
    "train_head.evaluate": "run_dir",
    "train_head.fine_tune": "tune_layers",
    "train_head.fuse": "weights",
    "train_head.label_noise": "folds",
    "train_head.predict": "run_dir",
    "train_head.recut": "new_cache_dir",
    "train_head.report": "run_dir",
}


@functools.cache
def read_help(module):
    return run_program(module, "--help", check=False).stdout


def find_programs():
    for path in sorted(ROOT.glob("*/*.py")):
        if path.parent.name != "tests" and "run_program(main" in path.read_text(encoding="utf-8"):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            yield name.removesuffix(".__main__")


def test_no_program_is_left_out_here():
    found = {name for name in find_programs() if not name.startswith("benchmarks.")}
    assert found == {*PROGRAMS, "train_head.doctor"}, "the doctor has no flags"


@pytest.mark.parametrize("module", PROGRAMS)
def test_help_lists_the_flags_without_tensorflow(module):
    done, imported = run_and_list_imports(module, "--help", check=False)
    assert re.search(rf"^ +--(\[no\])?{PROGRAMS[module]}: \S", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    # But for the program's file, which may lie deep.
    assert max(len(x) for x in done.stdout.splitlines() if not x.startswith("/")) <= 80
    assert not {"tensorflow", "keras"} & imported


def test_a_misspelt_flag_is_answered_without_tensorflow():
    done, imported = run_and_list_imports("train_head", "--rundir=1", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unknown command line flag 'rundir'. Did you mean: run_dir ?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not {"tensorflow", "keras"} & imported


def test_a_word_that_is_no_flag_is_refused(tmp_path):
    # `--cache_dir cache` is a flag, but a blank beside it is not.
    flags = (f"--data={tmp_path}", f"--cache_dir={tmp_path}/cache")
    done = run_program("extract_features", *flags, "cache", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Expected flags only. Received: ['cache']." in done.stderr
    assert "--name=value, --names=a,b." in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", PROGRAMS)
def test_help_says_which_flags_are_required(module):
    help_text = read_help(module)
    said = re.findall(r"^  --(\w+): Required\. ", help_text, re.MULTILINE)
    given, asked = [], []
    while found := re.search(
        r"flag --(\w+)=None: required\. Received: none\. Name one: --\1=\.\.\.$",
        run_program(module, "--only_check_args", *given, check=False).stderr,
        re.MULTILINE,
    ):
        asked.append(found[1])
        given.append(f"--{found[1]}=x")
    assert sorted(said) == sorted(asked) != []


@pytest.mark.parametrize("name", ["data_root", "skip_unreadable", "allow_group_leak"])
def test_help_says_that_a_cache_remembers_what_was_given(name):
    # Who leaves the flag out of a later command would not expect its effect, such as status 0.
    help_text = " ".join(read_help("extract_features").split())
    flag_text = re.search(rf" --(?:\[no\])?{name}: (.*?) --", help_text)[1]
    assert "Default: what was given for the cache, else " in flag_text


@pytest.mark.parametrize(
    ("module", "refused"),
    [
        ("train_head.compare", {"labels", "frame_labels", "rnn", "frame_order"}),
        ("train_head.label_noise", {"labels", "frame_labels"}),
    ],
)
def test_help_leaves_out_what_is_refused(module, refused):
    listed = {}
    for name in (module, "train_head"):
        listed[name] = {*re.findall(r"^  --(?:\[no\])?(\w+):", read_help(name), re.MULTILINE)}
    of_the_run = {"run_dir", "manifest", "devices", "summary"}
    assert listed["train_head"] - listed[module] - of_the_run == refused


@pytest.mark.parametrize(
    ("module", "flag"),
    [
        ("train_head", "--clipvalue=1"),
        ("train_head.fine_tune", "--tune_clipvalue=1"),
        ("train_head.cross_validate", "--clipvalue=1"),
        ("train_head.label_noise", "--clipvalue=1"),
    ],
)
def test_flags_that_do_not_go_together_are_found_by_a_check_alone(module, flag):
    needed = ("cache_dir", "run_dir", "output_dir", "manifests")
    help_text = read_help(module)
    flags = [f"--{name}=x" for name in needed if f"--{name}:" in help_text]
    norm = flag.replace("value", "norm")
    done = run_program(module, *flags, flag, norm, "--only_check_args", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Expected clipping by norm or by value, not both." in done.stderr
    assert run_program(module, *flags, flag, "--only_check_args").stderr == ""


@pytest.mark.parametrize(
    ("module", "more", "file"),
    [
        ("train_head.audit", "--cache_dir=x", "cache.json"),
        ("train_head.compare", "--cache_dir=x", "contract.json"),
        ("train_head.cross_validate", "--cache_dir=x --folds=2", "cache.json"),
        ("train_head.label_noise", "--cache_dir=x", "contract.json"),
        ("extract_features.official_splits", "--lists=x --data=x", "cache.json"),
    ],
)
def test_results_are_not_written_among_the_files_of_a_cache_or_run(tmp_path, module, more, file):
    (tmp_path / file).touch()
    done = run_program(module, *more.split(), f"--output_dir={tmp_path}", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path}: expected --output_dir to be a folder for")
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_name_is_not_the_current_folder(tmp_path, value):
    flags = (f"--data={tmp_path}", f"--cache_dir={value}")
    for more in ((), ("--only_check_args",)):
        done = run_program("extract_features", *flags, *more, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: --cache_dir={value}: expected a value. Received: none." in done.stderr
    flags = (f"--data={tmp_path}", f"--cache_dir={tmp_path}", "--group_regex=", "--only_check_args")
    run_program("extract_features", *flags)


def test_no_folder_is_called_after_the_sign_of_the_home_folder(tmp_path):
    flags = (f"--data={tmp_path}", "--group_regex=~/([0-9]+)", "--only_check_args")
    run_program("extract_features", *flags, f"--cache_dir={tmp_path}/~/a~")
    done = run_program("extract_features", *flags, "--cache_dir=~/cache", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "error: --cache_dir=~/cache: expected a path. Received: one with a ~ that the shell has "
        "left as it is. Write $HOME in its place."
    ) in done.stderr


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--image_size=31", "31 is not an integer in the range [32, 1024]"),
        ("--image_size=small", "image_size"),
        ("--batch_size=0", "batch_size"),
        ("--cut=pool5", "should be one of"),
        ("--compute_dtype=int8", "should be one of"),
        ("--num_decode_threads=0", "num_decode_threads"),
    ],
)
def test_a_value_out_of_range_is_answered_at_once(flag, text):
    done = run_program("extract_features", "--data=a", "--cache_dir=b", flag, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "Flags parsing error" in done.stderr and text in done.stderr


def test_a_number_that_no_machine_counts_to_is_answered_by_name():
    for flag in ("epochs", "seq_len"):
        flags = ("--cache_dir=a", "--run_dir=b", f"--{flag}={10**24}", "--only_check_args")
        done = run_program("train_head", *flags, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: --{flag}={10**24}: expected {2**53} at most. Lower it.\n"


def test_a_number_that_nothing_is_computed_with_is_answered_by_name():
    flags = ("--cache_dir=a", "--run_dir=b", "--learning_rate=1e39", "--only_check_args")
    done = run_program("train_head", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --learning_rate=1e+39: expected 3.4e+38 at most. Lower it.\n"


@pytest.mark.parametrize("module", ["train_head.evaluate", "train_head.predict"])
def test_more_windows_than_lists_can_hold_are_refused(module):
    done = run_program(module, "--run_dir=a", "--windows=1000001", "--only_check_args", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--windows=1000001: 1000001 is not an integer in the range [1, 1000000]" in done.stderr


def test_a_flagfile_gives_the_flags(tmp_path):
    (tmp_path / "flags.txt").write_text(f"--data={tmp_path}/gone\n--cache_dir={tmp_path}/cache\n")
    done = run_program("extract_features", f"--flagfile={tmp_path}/flags.txt", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {tmp_path}/gone: no such file or folder." in done.stderr


def test_a_flagfile_that_is_no_utf_8_is_told(tmp_path):
    (tmp_path / "flags.txt").write_text("--data=gone\n", encoding="utf-16")  # as of PowerShell
    done = run_program("extract_features", f"--flagfile={tmp_path}/flags.txt", check=False)
    assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr
    assert "error: --flagfile: expected UTF-8 text, received byte 0xff. Save" in done.stderr


@pytest.mark.parametrize("first", ["--run_dir=a", "# of last week", ""])
def test_a_flagfile_that_begins_with_a_byte_order_mark_is_told(tmp_path, first):
    path, arguments = tmp_path / "flags.txt", ["\ufeffa video.mp4", "--only_check_args"]
    path.write_text(f"{first}\n--run_dir=a\n", encoding="utf-8")
    run_program("train_head.predict", f"--flagfile={path}", *arguments)
    path.write_text(f"{first}\n--windows=2\n", encoding="utf-8-sig")
    done = run_program("train_head.predict", f"--flagfile={path}", *arguments, check=False)
    assert done.returncode == 1
    assert "Received: a byte order mark, as some editors of Windows" in done.stderr


def test_a_negated_flag_with_a_value_is_told():
    arguments = ["--data=a", "--cache_dir=b", "--noskip_unreadable=1"]
    done = run_program("extract_features", *arguments, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr
    assert "error: --noskip_unreadable=1 does not take an argument" in done.stderr
