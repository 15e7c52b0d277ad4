"""A run that changes while a program works with it: nothing is made of two."""

import shutil

from commands import run_python, start_python
from small_data import copy_cache, play_backwards

from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.clips.clip import SourceStat
from train_head.run.run_lock import lock_run
from train_head.scores.prediction_file import read_run_predictions


def run_replacing_the_model(run, module, *flags, when=None):
    """Runs a program that finds another model where it first opens that of the run, or else when
    an event of Python's says so.
    """
    other = shutil.copy(run.model_path, run.path / "other")
    when = when or f"event == 'open' and str(values[0]) == '{run.model_path}'"
    program = (
        "import os, runpy, sys\n"
        "def train_anew(event, values):\n"
        f"    if {when}:\n"
        f"        if os.path.exists('{other}'):\n"
        f"            os.replace('{other}', '{run.model_path}')\n"
        "sys.addaudithook(train_anew)\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
    )
    done = run_python(program, f"--run_dir={run.path}", *flags, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr
    assert f"error: {run.model_path}: expected the model that this program found" in done.stderr


def test_a_model_that_is_replaced_while_it_is_scored_gets_no_score(trained):
    cache, run = trained
    for path in (run.metrics_path("test"), run.predictions_path("test")):
        path.unlink()
    with lock_run(run):  # as who trains it anew does for hours
        run_replacing_the_model(run, "train_head.evaluate", f"--cache_dir={cache.cache_dir}")
    assert not run.metrics_path("test").exists() and not run.predictions_path("test").exists()


def test_a_model_that_is_replaced_while_its_score_waits_gets_none(trained):
    cache, run = trained
    run.metrics_path("test").unlink()
    flags = (f"--cache_dir={cache.cache_dir}",)
    run_replacing_the_model(run, "train_head.evaluate", *flags, when="event == 'fcntl.flock'")
    assert not run.metrics_path("test").exists()


def test_of_two_that_score_at_once_the_last_leaves_both_files(trained, tmp_path):
    cache, run = trained
    other = play_backwards(copy_cache(cache, tmp_path / "other"), "test", SourceStat(1, 0))
    waiting, may_start = tmp_path / "waiting", tmp_path / "may_start"
    evaluate = "runpy.run_module('train_head.evaluate', run_name='__main__')\n"
    # Between its two files it lets the other one go on until that has to wait.
    first = (
        "import os, runpy, sys, time\n"
        "def let_go_on(event, names):\n"
        "    if event == 'os.rename' and 'metrics.json' in str(names[1]):\n"
        f"        open('{may_start}', 'w').close()\n"
        f"        while not os.path.exists('{waiting}'):\n"
        "            time.sleep(0.01)\n"
        "sys.addaudithook(let_go_on)\n"
    )
    second = (
        "import runpy, sys\n"
        "def tell(event, _):\n"
        f"    event == 'fcntl.flock' and open('{waiting}', 'w').close()\n"
        "sys.addaudithook(tell)\n"
    )
    flags = (f"--run_dir={run.path}", f"--cache_dir={cache.cache_dir}")
    with start_python(first + evaluate, *flags) as scoring:
        scoring.wait_until(may_start.exists)
        run_python(second + evaluate, flags[0], f"--cache_dir={other.cache_dir}")
        assert scoring.wait() == 0
    scores = read_json(run.metrics_path("test"))
    assert scores["top1"] == read_run_predictions(run, split="test").is_right.mean()
    assert scores["provenance"]["cache_dir"] == str(other.cache_dir)


def test_a_run_that_is_replaced_while_it_is_read_is_not_reported(trained):
    cache, run = trained
    run_replacing_the_model(run, "train_head.report", f"--cache_dir={cache.cache_dir}")
    assert not run.report_path.exists()


def test_a_run_that_is_replaced_while_it_is_read_names_no_clip(run_dir, clips_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    run_replacing_the_model(run, "train_head.predict", clips_dir / "left" / "clip_0")
