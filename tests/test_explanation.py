"""Tests what is told of each frame: probabilities over time, influence, attention."""

import numpy as np
import pytest
from commands import read_rows, run_program
from PIL import Image
from small_heads import build_random_head, make_frames_of_one_length, make_what_is_looked_at

from lrcn.common.cache.clip_features import ClipFeatures
from train_head.head.layers import keras, tf
from train_head.predictions.explanation import Explainer


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
def test_influences_add_up_to_the_answer(settings):
    # With a mean, the vector of an empty frame is not zero.
    head, maps = build_random_head(mean=0.1, **settings), make_frames_of_one_length(5)
    explainer = Explainer(head)
    influence, class_id = explainer.measure_influence([maps])
    answer = predict(head, maps)
    assert class_id == answer.argmax()
    gain = np.log(answer[class_id] / predict(head, 0 * maps)[class_id])
    assert abs(gain) > 0.01
    assert influence.sum() == pytest.approx(gain, abs=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"rnn": "gru", "sequence": "fixed"},
        {"rnn": "lstm", "sequence": "ragged", "rnn_layers": 2},
        {"rnn": "gru", "sequence": "ragged", "output": "mean_pool"},
        {"rnn": "bigru", "sequence": "ragged"},
        {"rnn": "none", "output": "last"},
        {"rnn": "none", "output": "mean"},
    ],
    ids=str,
)
def test_probabilities_after_a_frame_are_those_of_a_clip_that_ends_there(settings):
    head, maps = build_random_head(**settings), make_frames_of_one_length(5)
    explainer = Explainer(head)
    over_time = explainer.predict_over_time([maps], after=np.arange(len(maps)))
    # A mean over the softmax of all frames is told by these.
    starts = range(5) if settings.get("output") == "mean" else [0] * 5
    ended = [predict(head, maps[start : end + 1]) for end, start in enumerate(starts)]
    np.testing.assert_allclose(over_time, ended, atol=1e-5)
    chosen = explainer.predict_over_time([maps], after=np.array([1, 4]))
    np.testing.assert_allclose(chosen, [ended[1], ended[4]], atol=1e-5)
    if settings.get("output") == "mean":
        np.testing.assert_allclose(over_time.mean(axis=0), predict(head, maps), atol=1e-5)


def test_a_head_that_reads_each_beginning_anew_tells_of_some_of_many_frames():
    head, maps = build_random_head(rnn="none", output="mean_pool"), make_frames_of_one_length(330)
    over_time = Explainer(head).predict_over_time([maps], after=np.arange(len(maps)))
    known = np.flatnonzero(np.isfinite(over_time).all(axis=1))
    assert len(known) == 200 and set(np.diff(known)) == {1, 2}
    for end in (0, known[100], len(maps) - 1):
        np.testing.assert_allclose(over_time[end], predict(head, maps[: end + 1]), atol=1e-5)


@pytest.mark.parametrize("settings", [{"rnn": "gru"}, {"rnn": "none", "output": "mean"}], ids=str)
def test_several_views_are_explained_as_the_one_decision_that_they_make(settings):
    head = build_random_head(**settings)
    views = [make_frames_of_one_length(5, seed=seed) for seed in (3, 0, 9)]
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
    head, maps = build_random_head(rnn="none", output="last"), make_frames_of_one_length(4)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    np.testing.assert_allclose(influence, [0, 0, 0, gain], atol=1e-5)


@pytest.mark.parametrize(("strength", "adds_up"), [(4, True), (16, False)])
def test_influences_add_up_where_a_maximum_changes_its_frame(strength, adds_up, caplog):
    head = build_random_head(rnn="lstm", output="max_pool", rnn_units=32)
    for weight in head.trainable_variables:
        weight.assign(strength * weight)
    maps = make_frames_of_one_length(12)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    assert (abs(influence.sum() - gain) < 0.01) == adds_up
    warnings = [x.getMessage() for x in caplog.records if x.levelname == "WARNING"]
    assert ["influences of a clip's frames add up but for " in x for x in warnings] == (
        [] if adds_up else [True]
    )


def test_influences_of_a_long_clip_add_up_as_well():
    """Its path is computed a point at a time."""
    head, maps = build_random_head(rnn="none", output="mean"), make_frames_of_one_length(1100)
    influence, class_id = Explainer(head).measure_influence([maps])
    gain = np.log(predict(head, maps)[class_id] / predict(head, 0 * maps)[class_id])
    assert influence.sum() == pytest.approx(gain, abs=1e-4)


def test_of_an_empty_frame_vgg16_finds_nothing_above_the_cut_either():
    maps = keras.Input((6,))
    top = keras.Model(maps, keras.layers.Dense(6, bias_initializer="ones")(maps))
    head = build_random_head(rnn="gru", top=top)
    features = top(make_frames_of_one_length(5).astype(np.float32)).numpy().astype(np.float16)
    alone = build_random_head(rnn="gru")
    alone.set_weights(head.get_weights()[len(top.weights) :])
    influences = [
        Explainer(x).measure_influence([maps])[0]
        for x, maps in ((head, make_frames_of_one_length(5)), (alone, features))
    ]
    np.testing.assert_allclose(*influences, atol=2e-3)


def test_attention_is_where_the_head_looks():
    head, maps = make_what_is_looked_at()
    attention = Explainer(head).find_attention(maps)
    np.testing.assert_allclose(attention[0], [[0, 0, 0], [0, 0, 1]], atol=1e-3)
    np.testing.assert_allclose(attention[1], [[1, 0, 0], [0, 0, 0]], atol=1e-3)
    assert (
        Explainer(build_random_head(rnn="none")).find_attention(make_frames_of_one_length(2))
        is None
    )
    vectors = build_random_head(rnn="none", frame_pooling="attention")
    assert Explainer(vectors).find_attention(make_frames_of_one_length(2)) is None
    rows = build_random_head((3, 4), rnn="none", frame_pooling="attention")
    assert Explainer(rows).find_attention(maps[:, 0]) is None, "positions of no picture"


@pytest.mark.parametrize("output", ["last", "mean"])
def test_what_is_told_of_some_frames_is_theirs(output):
    head = build_random_head((2, 3, 4), rnn="gru", frame_pooling="attention", output=output)
    maps = np.random.RandomState(0).normal(size=(5, 2, 3, 4)).astype(np.float16)
    clip = ClipFeatures(maps, np.arange(5, dtype=np.int32) * 2, np.arange(5) / 5)
    explainer, chosen = Explainer(head), np.array([1, 4])
    of_all, of_some = explainer.explain([clip]), explainer.explain([clip], after=chosen)
    for name in ("frame_index", "timestamp_sec", "probabilities", "influence", "attention"):
        expected = getattr(of_all, name)[chosen]
        np.testing.assert_allclose(getattr(of_some, name), expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("sequence", ["fixed", "ragged"])
def test_attention_is_that_of_the_clips_scale_and_above_the_top(sequence):
    maps = keras.Input((4, 4, 3))
    top = keras.Model(maps, keras.layers.Conv2D(5, 2, strides=2)(maps))
    head = build_random_head(
        (2, 2, 5), rnn="none", frame_pooling="attention", sequence=sequence, top=top
    )
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
