"""Tests what a report tells of single clips: it is of the decision that evaluation scored."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from small_data import make_config, train, write_cache
from small_heads import make_what_is_looked_at

from lrcn.common.cache.open_cache import read_cache
from lrcn.common.cache.run_dir import write_json
from lrcn.common.clips.clip import Clip
from train_head.predictions.explanation import Explainer
from train_head.reports.report_data import ScoredClips
from train_head.reports.report_strips import make_cards, make_pair_pictures
from train_head.reports.reporting import write_report
from train_head.scores.prediction_file import read_predictions
from train_head.scores.score_file import read_scores


def read_cards(run):
    text = run.report_path.read_text(encoding="utf-8")
    return json.loads(text.split('id="data">')[1].split("</script>")[0])["cards"]


def test_cards_of_several_views_are_of_their_mean(tmp_path, caplog):
    random = np.random.RandomState(0)
    means = random.normal(size=(3, 1, 1, 8))
    features = {}
    for split, num_clips in {"train": 5, "val": 2, "test": 3}.items():
        for i in range(3 * num_clips):
            clip = Clip(f"{split}_{i}", f"{split}_{i}", "abc"[i % 3], split, group=split)
            features[clip] = means[i % 3] + 2.5 * random.normal(size=(4, 2, 8))
    cache = write_cache(tmp_path / "cache", features, views="flip")
    run = train(cache, tmp_path / "run", rnn="gru", learning_rate=0.03, epochs=8)
    write_report(run, cache)
    probabilities = read_predictions(run.predictions_path("test")).probabilities
    cards = read_cards(run)
    assert len(cards) == 9
    for i, card in cards.items():
        ends = [row[-1] for row in card["over_time"]]
        assert ends == pytest.approx(probabilities[int(i), card["classes"]], abs=1e-3)
    page = run.report_path.read_text(encoding="utf-8")
    assert "All clips are of one group, so the interval says nothing of other groups. Alw" in page
    assert "so that the page stays small" not in page  # which shows them all
    # Of several groups, the interval that is drawn and said first is over these.
    scores = read_scores(run.metrics_path("test"))
    interval = {"top1_interval": [0.25, 1.0], "mean_class_accuracy_interval": [0.125, 1.0]}
    by_group = {"num_groups": 3, **interval}
    write_json(run.metrics_path("test"), {**scores, "of_one_group": False, "by_group": by_group})
    write_report(run, cache)
    page = run.report_path.read_text(encoding="utf-8")
    assert '<i class="band" style="left: 25.0%; right: 0.0%"></i>' in page
    assert "25.0 to 100.0 %</span> over the 3 groups that the clips come from, and" in page
    assert "95 % interval 12.5 to 100.0 %" in page
    # They have no pictures, and what is said before and after agrees.
    assert "9 of these 9 clips go without pictures. The first: The features were" in caplog.text


def read_picture(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_a_card_is_veiled_where_the_head_does_not_look_and_has_its_class_first(tmp_path):
    head, maps = make_what_is_looked_at()
    clip = Clip("clip", "clip", "b", "test")
    cache = write_cache(tmp_path / "cache", {clip: maps})
    scored = ScoredClips([clip], [*"abc"], np.array([1]), np.array([[0.5, 0.3, 0.2]]))
    cards, _ = make_cards(
        scored, cache=cache, explainer=Explainer(head), config=make_config(seq_len=2)
    )
    assert cards[0]["classes"] == [1, 0, 2]
    opacity = read_picture(cards[0]["attention"])[..., 3]
    first, second = np.split(opacity, 2, axis=1)
    assert first[-1, -1] == second[0, 0] == 0
    assert min(first[0, 0], second[-1, -1]) > 100


def test_a_pair_of_near_duplicates_shows_its_two_frames(cache_dir, clips_dir):
    sides = {"a": ("left/clip_0", 0), "b": ("right/clip_0", 3)}
    pair = {f"clip_{side}": clip_id for side, (clip_id, _) in sides.items()}
    pair |= {f"frame_{side}": frame for side, (_, frame) in sides.items()}
    make_pair_pictures([pair], cache=read_cache(cache_dir))
    found = np.split(read_picture(pair["picture"]).astype(int), 2, axis=1)
    for picture, (clip_id, frame) in zip(found, sides.values(), strict=True):
        source = Image.open(clips_dir / clip_id / f"{frame}.png").resize(picture.shape[:2])
        assert np.abs(picture - np.asarray(source)).mean() < 8
