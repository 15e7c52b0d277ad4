"""Tests what is told of each frame: probabilities over time, influence, attention."""

import csv
import re

import numpy as np
import pytest
from commands import run_program
from media import write_frame_folder
from PIL import Image
from small_data import make_config
from small_heads import enlarge_logits

from lrcn.common.clip_features import ClipFeatures
from lrcn.common.views import VIEWS
from train_head.explanation import Explainer
from train_head.explanation_files import ExplanationFolder
from train_head.layers import keras, tf
from train_head.model import build_head
from train_head.normalization import FeatureStatistics


def build_random_head(feature_shape=(6,), *, top=None, mean=0.0, **settings):
    keras.utils.set_random_seed(0)
    head = build_head(
        make_config(**settings),
        feature_shape=feature_shape,
        num_classes=3,
        statistics=FeatureStatistics(1.0, np.full(feature_shape, mean, np.float32), 1.0),
        top=top,
    )
    enlarge_logits(head)
    return head


def make_maps(num_frames, feature_shape=(6,), *, seed=1):
    """Makes frames of one length, so that the beginning of a clip is scaled like the whole."""
    random = np.random.RandomState(seed)
    frames = [
        random.permutation(np.arange(1, np.prod(feature_shape) + 1)) for _ in range(num_frames)
    ]
    signs = random.choice([-0.5, 0.5], size=(num_frames, np.prod(feature_shape)))
    return (frames * signs).astype(np.float16).reshape(num_frames, *feature_shape)


def predict(head, maps):
    """The head's own answer for a whole clip, [K]."""
    inputs = maps[None]
    if isinstance(head.input, dict):
        inputs = {"feature_maps": inputs, "frame_mask": np.ones(inputs.shape[:2], bool)}
    return tf.nn.softmax(head(inputs, training=False))[0].numpy()


@pytest.mark.parametrize(
    "settings",
    [
        {"rnn": "gru", "sequence": "fixed"},
        {"rnn": "bigru", "sequence": "ragged"},
        {"rnn": "none", "output": "mean"},
    ],
    ids=lambda settings: settings["rnn"],
)
def test_influences_add_up_and_the_last_probability_is_the_answer(settings):
    # With a mean, the vector of an empty frame is not zero.
    head, maps = build_random_head(mean=0.1, **settings), make_maps(5)
    explainer = Explainer(head)
    influence, class_id = explainer.measure_influence([maps])
    answer = predict(head, maps)
    assert class_id == answer.argmax()
    gain = np.log(answer[class_id] / predict(head, 0 * maps)[class_id])
    assert abs(gain) > 0.01
    assert influence.sum() == pytest.approx(gain, abs=1e-4)

    over_time = explainer.predict_over_time([maps])
    if settings["rnn"] == "none":
        np.testing.assert_allclose(over_time.mean(axis=0), answer, atol=1e-5)
        alone = [predict(head, maps[t : t + 1]) for t in range(5)]
        np.testing.assert_allclose(over_time, alone, atol=1e-5)
    else:
        ended = [predict(head, maps[: t + 1]) for t in range(5)]
        np.testing.assert_allclose(over_time, ended, atol=1e-5)
        chosen = explainer.predict_over_time([maps], after=np.array([1, 4]))
        np.testing.assert_allclose(chosen, [ended[1], ended[4]], atol=1e-5)


@pytest.mark.parametrize("settings", [{"rnn": "gru"}, {"rnn": "none", "output": "mean"}], ids=str)
def test_several_views_are_explained_as_the_one_decision_that_they_make(settings):
    head = build_random_head(**settings)
    views = [make_maps(5, seed=seed) for seed in (6, 2, 4)]
    answers = np.array([predict(head, maps) for maps in views])
    answer = answers.mean(axis=0)
    assert answers[0].argmax() != answer.argmax()  # the first view would call it otherwise
    clock = (np.arange(5, dtype=np.int32), np.full(5, np.nan))
    explanation = Explainer(head).explain([ClipFeatures(maps, *clock) for maps in views])
    assert explanation.class_id == answer.argmax()
    gain = np.log(answer / predict(head, 0 * views[0]))[explanation.class_id]
    assert explanation.influence.sum() == pytest.approx(gain, abs=1e-3)
    if settings["rnn"] == "none":
        np.testing.assert_allclose(explanation.probabilities.mean(axis=0), answer, atol=1e-5)
    else:
        ended = [[predict(head, x[: t + 1]) for x in views] for t in range(5)]
        np.testing.assert_allclose(explanation.probabilities, np.mean(ended, axis=1), atol=1e-5)


def test_a_frame_that_is_not_looked_at_has_no_influence():
    head, maps = build_random_head(rnn="none", output="last"), make_maps(4)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    np.testing.assert_allclose(influence, [0, 0, 0, gain], atol=1e-5)


def test_influences_add_up_where_a_maximum_changes_its_frame():
    head = build_random_head(rnn="lstm", output="max_pool", rnn_units=32)
    for weight in head.trainable_variables:
        weight.assign(4 * weight)
    maps = make_maps(12)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    assert influence.sum() == pytest.approx(gain, abs=0.01)


def test_influences_of_a_long_clip_add_up_as_well():
    """Its path is computed a point at a time."""
    head, maps = build_random_head(rnn="none", output="mean"), make_maps(1100)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    assert influence.sum() == pytest.approx(gain, abs=1e-4)


def test_of_an_empty_frame_vgg16_finds_nothing_above_the_cut_either():
    maps = keras.Input((6,))
    top = keras.Model(maps, keras.layers.Dense(6, bias_initializer="ones")(maps))
    head = build_random_head(rnn="gru", top=top)
    features = top(make_maps(5).astype(np.float32)).numpy().astype(np.float16)
    alone = build_random_head(rnn="gru")
    alone.set_weights(head.get_weights()[len(top.weights) :])
    influences = [
        Explainer(x).measure_influence([maps])[0]
        for x, maps in ((head, make_maps(5)), (alone, features))
    ]
    np.testing.assert_allclose(*influences, atol=2e-3)


def test_attention_is_where_the_head_looks():
    maps = np.zeros((2, 2, 3, 4), np.float16)
    maps[0, 1, 2, 0] = maps[1, 0, 0, 0] = 1
    head = build_random_head((2, 3, 4), rnn="none", frame_pooling="attention")
    scores = head.get_layer("per_frame").model.get_layer("attention_scores")
    scores.set_weights([np.array([[50.0], [0], [0], [0]]), np.zeros(1)])
    attention = Explainer(head).find_attention(maps)
    np.testing.assert_allclose(attention[0], [[0, 0, 0], [0, 0, 1]], atol=1e-3)
    np.testing.assert_allclose(attention[1], [[1, 0, 0], [0, 0, 0]], atol=1e-3)
    assert Explainer(build_random_head(rnn="none")).find_attention(make_maps(2)) is None
    vectors = build_random_head(rnn="none", frame_pooling="attention")
    assert Explainer(vectors).find_attention(make_maps(2)) is None


def test_attention_is_that_of_the_clips_scale_and_above_the_top():
    maps = keras.Input((4, 4, 3))
    top = keras.Model(maps, keras.layers.Conv2D(5, 2, strides=2)(maps))
    head = build_random_head((2, 2, 5), rnn="none", frame_pooling="attention", top=top)
    clip = np.random.RandomState(0).normal(size=(3, 4, 4, 3)).astype(np.float16)
    attention = Explainer(head).find_attention(clip)
    assert attention.shape == (3, 2, 2)
    np.testing.assert_allclose(attention.sum(axis=(1, 2)), 1, rtol=1e-5)
    x = top(clip.astype(np.float32)).numpy()
    length = np.linalg.norm(x.reshape(3, -1), axis=1).mean()
    encoder = head.get_layer("per_frame").model
    weights = keras.Model(encoder.input, encoder.get_layer("attention").output)
    np.testing.assert_allclose(attention, weights(x / length)[..., 0], rtol=1e-3)
    # The strength of a whole clip says nothing of where to look.
    np.testing.assert_allclose(Explainer(head).find_attention(clip * 4), attention, atol=1e-3)


def test_predictions_are_explained(run_dir, clips_dir, tmp_path):
    sources = [clips_dir / "left" / "clip_0", clips_dir / "right" / "clip_7.mp4"]
    folder = tmp_path / "why"
    done = run_program(
        "train_head.predict", f"--run_dir={run_dir}", f"--explain={folder}", *sources
    )
    names = [f"{source.name}.{suffix}" for source in sources for suffix in ("csv", "png")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for source, line in zip(sources, done.stdout.splitlines(), strict=True):
        rows = read_rows(folder / f"{source.name}.csv")
        assert list(rows[0]) == ["frame_index", "timestamp_sec", "influence", "left", "right"]
        frames = [int(row["frame_index"]) for row in rows]
        assert len(frames) == 4 and frames == sorted(frames)
        for row in rows:
            time = row["timestamp_sec"]
            assert time == (f"{int(row['frame_index']) / 10:.3f}" if source.suffix else "")
        path, answer, probability = line.split()[:3]
        assert path == str(source)
        assert float(rows[-1][answer]) == pytest.approx(float(probability), abs=1e-3)
        with Image.open(folder / f"{source.name}.png") as picture:
            picture.load()
            assert picture.width > 1000


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_are_named_safely_and_never_overwritten(clips_dir, tmp_path, caplog):
    head, source = build_random_head(rnn="none"), clips_dir / "left" / "clip_0"
    features = ClipFeatures(make_maps(2), np.arange(2, dtype=np.int32), np.full(2, np.nan))
    explanation = Explainer(head).explain([features])
    hostile = tmp_path / "<i> $x$ \n"
    hostile.symlink_to(source)
    (tmp_path / ("long" * 60)).symlink_to(source)
    sources = [hostile, tmp_path / ("long" * 60), hostile, source / ".."]
    folder = ExplanationFolder(tmp_path / "why", sources, views=VIEWS["one"])
    class_names = ["$", "_", "<b>"]
    with caplog.at_level("INFO", logger="absl"):
        for number, clip in enumerate(sources[:3]):
            folder.write(number, source=clip, explanation=explanation, class_names=class_names)
    assert f"{tmp_path}/<i> $x$ \\n: explained in {tmp_path}/why/_i_x_.csv and" in caplog.text
    written = {path.name: path.read_bytes() for path in (tmp_path / "why").iterdir()}
    assert len(written) == 6 and all(written.values())
    for name in written:
        assert re.fullmatch(r"[\w.-]{5,250}", name), name
    assert {"_i_x_.csv", "_i_x__2.csv"} < set(written)
    with pytest.raises(ValueError, match=r"_i_x_\.csv: exists already, or is --output too\. Name "):
        ExplanationFolder(tmp_path / "why", sources, views=VIEWS["one"])


def test_an_output_among_the_explanations_is_refused(run_dir, clips_dir, tmp_path):
    done = run_program(
        "train_head.predict",
        f"--run_dir={run_dir}",
        f"--output={tmp_path}/clip_0.csv",
        f"--explain={tmp_path}",
        clips_dir / "left" / "clip_0",
        check=False,
    )
    assert f"{tmp_path}/clip_0.csv: exists already, or is --output too. Name another" in done.stderr
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])


def test_a_clip_that_is_no_longer_whole_is_not_explained(clips_dir, tmp_path, caplog):
    source = clips_dir / "left" / "clip_0"  # of five frames
    features = ClipFeatures(make_maps(2), np.array([0, 5], np.int32), np.full(2, np.nan))
    explanation = Explainer(build_random_head(rnn="none")).explain([features])
    gone = tmp_path / "gone.mp4"
    folder = ExplanationFolder(tmp_path / "why", [source, gone], views=VIEWS["one"])
    for number, (clip, told) in enumerate({source: "expected a frame 5", gone: "expected"}.items()):
        assert not folder.write(number, source=clip, explanation=explanation, class_names=["a"] * 3)
        assert f"Not explained: {clip}: {told}" in caplog.text
    assert not list((tmp_path / "why").iterdir())


def test_a_picture_shows_what_the_first_view_sees(tmp_path):
    # Of the side that is cropped for a picture of 112 px, and red but for the centre crop.
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    frames[..., 0] = 255
    frames[:, 8:-8, 8:-8] = (0, 255, 0)
    source = write_frame_folder(tmp_path / "clip", frames)
    features = ClipFeatures(make_maps(2), np.arange(2, dtype=np.int32), np.full(2, np.nan))
    explanation = Explainer(build_random_head(rnn="none")).explain([features])
    num_red = {}
    for name in ("one", "ten_crop"):
        folder = ExplanationFolder(tmp_path / name, [source], views=VIEWS[name])
        folder.write(0, source=source, explanation=explanation, class_names=["a"] * 3)
        picture = np.asarray(Image.open(tmp_path / name / "clip.png").convert("RGB"))
        num_red[name] = (picture == (255, 0, 0)).all(axis=-1).sum()
        assert (picture == (0, 255, 0)).all(axis=-1).any()
    assert num_red["one"] > 0 == num_red["ten_crop"]


def test_a_disk_that_fills_up_leaves_no_half_of_a_pair(clips_dir, make_small_disk):
    disk, source = make_small_disk(256), clips_dir / "left" / "clip_0"
    features = ClipFeatures(make_maps(2), np.arange(2, dtype=np.int32), np.full(2, np.nan))
    explanation = Explainer(build_random_head(rnn="none")).explain([features])
    folder = ExplanationFolder(disk / "why", [source] * 20, views=VIEWS["one"])
    with pytest.raises(OSError, match=r"No space left") as caught:
        for number in range(20):
            folder.write(number, source=source, explanation=explanation, class_names=["a"] * 3)
    assert str(caught.value) == (
        f"{disk}/why/clip_0_{number + 1}.png: No space left on device. The clips before are "
        "explained. Make room there, and remove what was written or name another --explain folder "
        "(and --output): files that exist are refused."
    )
    names = [path.name for path in (disk / "why").iterdir()]
    assert 0 < number < 20 and len(names) == 2 * number
    assert len({name.split(".")[0] for name in names}) == number
