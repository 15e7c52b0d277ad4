"""Names in pictures whose writing matplotlib's own font does not have."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from media import write_frame_folder

from lrcn.common.pixels.views import VIEWS
from train_head.predictions import plot_fonts
from train_head.predictions.explanation import Explanation
from train_head.predictions.explanation_files import ExplanationFolder
from train_head.predictions.plot_fonts import find_font_families


def write_font(path, family, characters):
    """Writes a font in which each of the characters is a square."""
    names = [".notdef", *[f"u{ord(x):x}" for x in characters]]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(x): f"u{ord(x):x}" for x in characters})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def install(monkeypatch):
    """Returns a function that says which fonts are installed."""

    def install(*paths):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(paths))
        plot_fonts._read_installed_fonts.cache_clear()

    yield install
    plot_fonts._read_installed_fonts.cache_clear()


def draw(text):
    """Draws a text; what matplotlib has no letters for is an error."""
    figure = Figure()
    figure.suptitle(text, fontfamily=find_font_families(text))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()


def test_fonts_that_have_the_characters_are_found(tmp_path, install):
    (tmp_path / "broken.ttf").write_bytes(b"none")
    install(
        str(tmp_path / "broken.ttf"),
        write_font(tmp_path / "a.ttf", "Some of Them", "走"),
        write_font(tmp_path / "b.ttf", "Hindi", "चल"),
        write_font(tmp_path / "c.ttf", "Kanji", "走歩人"),
    )
    assert find_font_families("walk, идти, Ärger\n") == ["sans-serif"]
    assert find_font_families("走人") == ["sans-serif", "Kanji"]
    assert find_font_families("歩走 चल") == ["sans-serif", "Hindi", "Kanji"]
    draw("歩走 चल walk")


def test_names_in_an_explanation_are_drawn_with_them(tmp_path, install):
    install(write_font(tmp_path / "a.ttf", "Kanji 2", "走人"))
    clip = write_frame_folder(tmp_path / "人", np.zeros((1, 32, 32, 3), np.uint8))
    answer = np.array([[0.4, 0.6]], np.float32)
    explanation = Explanation(np.zeros(1, np.int32), np.zeros(1), answer, np.ones(1), None, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ExplanationFolder(tmp_path / "why", [clip], views=VIEWS["one"]).write(
            0, explanation, class_names=["walk", "走"]
        )


def test_a_font_that_is_missing_is_named_once(install, caplog):
    install()
    assert find_font_families("走る人") == find_font_families("歩") == ["sans-serif"]
    assert caplog.messages == [
        "No installed font has 'る', and characters like it are boxes in the pictures. Install one "
        "that has (Debian: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto-core for "
        "others)"
    ]
