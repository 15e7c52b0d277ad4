"""What predict refuses: outputs, runs, weights and features. And weights that moved."""

import dataclasses
import shutil

import numpy as np
import pytest
from commands import run_program
from refusals import refusal
from small_vgg16 import build_keras_vgg16, write_other_weights

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import RunDir, read_json, write_json
from lrcn.common.vgg16.backbone_weights import fingerprint_weights
from train_head.head.run_model import load_model
from train_head.predictions.prediction import Predictor
from train_head.scores.evaluation import evaluate_run


def test_existing_output_is_never_overwritten(run_dir, clips_dir, tmp_path):
    output = tmp_path / "mine.csv"
    output.write_text("mine")
    flags = (f"--run_dir={run_dir}", f"--output={output}")
    done = run_program("train_head.predict", *flags, clips_dir / "left" / "clip_0", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {output}: exists already. Name another --output, or remove it." in done.stderr
    assert output.read_text() == "mine"


def test_no_clips_are_asked_for(run_dir):
    done = run_program("train_head.predict", f"--run_dir={run_dir}", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Expected videos or frame folders as arguments, or features where" in done.stderr


def test_several_windows_are_not_explained(run_dir, clips_dir, tmp_path):
    flags = (f"--run_dir={run_dir}", f"--explain={tmp_path / 'why'}", "--windows=2")
    done = run_program("train_head.predict", *flags, clips_dir / "left" / "clip_0", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Expected --windows=1 with --explain, since each window is a" in done.stderr
    assert not (tmp_path / "why").exists()


def test_a_path_is_no_run():
    with refusal("Expected a RunDir. Received: 'run'. Write RunDir('run').", TypeError):
        Predictor("run")


def test_missing_run_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: there is no run here\. Expected the --run"):
        Predictor(RunDir(tmp_path / "gone"))


def test_a_head_that_its_last_step_broke_names_no_class(feature_run, imported, tmp_path):
    run = RunDir(shutil.copytree(feature_run.path, tmp_path / "run"))
    model = load_model(run)
    for variable in model.trainable_variables:
        variable.assign(variable * np.nan)
    model.save(run.model_path)
    predictor = Predictor(run)
    with refusal(f"{run.model_path}: expected finite probabilities. Received: NaN, as after a las"):
        next(predictor.predict_clips([imported / "new" / "rise" / "test_0.npy"]))


def test_classes_of_another_run_are_refused(run_dir, cache_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    run.classes_path.write_text("left\nright\nup\n")
    run.classes_digest_path.unlink()  # as of an older run
    text = "classes.txt: expected the names of the 2 classes of model.keras. Received: "
    with refusal(f"{text}3"):
        Predictor(run)
    run.classes_path.write_text("left\n")
    with refusal(f"{text}1"):
        evaluate_run(run, read_cache(cache_dir), split="test")


def test_other_weights_are_refused(run_dir, tmp_path):
    weights = write_other_weights(tmp_path / "other.weights.h5", "block3_conv2")
    with pytest.raises(
        ValueError,
        match=r"contract\.json: made with weights_sha256=\w+\.\.\., but this run needs weights_sha"
        r"256=\w+\.\.\., with --weights=.*other\.weights\.h5\. Pass the weights that the feat",
    ):
        Predictor(RunDir(run_dir), weights=str(weights))


def test_imagenet_is_not_downloaded_for_features_of_random_weights(run_dir):
    text = "contract.json: expected the random weights that the features were made with. Received: "
    with refusal(f"{text}--weights=imagenet. Leave it out."):
        Predictor(RunDir(run_dir), weights="imagenet")


def test_weights_that_are_gone_are_asked_for(run_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    gone = str(tmp_path / "gone.h5")
    write_json(run.contract_path, {**read_json(run.contract_path), "weights": gone})
    with pytest.raises(
        FileNotFoundError,
        match=r"contract\.json: the features were made with the weights of .*/gone\.h5, and no "
        r"file is there now\. Name where it is: --weights=FILE \(with make: WEIGHTS=FILE\)\.",
    ):
        Predictor(run)


def test_moved_weights_are_named(run_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"moved\.h5: expected a VGG16 weights file\. Rece"):
        Predictor(RunDir(run_dir), weights=str(tmp_path / "moved.h5"))


def test_features_that_overflow_have_no_class(run_dir, clips_dir, tmp_path):
    run = RunDir(shutil.copytree(run_dir, tmp_path / "run"))
    vgg16, path = build_keras_vgg16(), tmp_path / "vgg16.weights.h5"
    kernel = vgg16.get_layer("block5_conv3").kernel
    kernel.assign(kernel * 1e6)
    vgg16.save_weights(path)
    contract = dataclasses.replace(
        run.read_contract(), weights=str(path), weights_sha256=fingerprint_weights(vgg16)
    )
    write_json(run.contract_path, contract)
    (prediction,) = Predictor(run).predict_clips([clips_dir / "left" / "clip_0"])
    assert prediction.probabilities is None
    assert "clip_0: a feature is not finite in float16 (largest number: " in prediction.failure
