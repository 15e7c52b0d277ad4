"""A cache is opened if it is whole, of its contract and version, and made in no other folder."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from refusals import refusal
from small_cache import SMALL, SOURCE, list_files, write_clip

from extract_features.given_data import DataSettings
from extract_features.verification import iter_findings
from lrcn.common.cache.open_cache import create_cache, read_cache
from train_head.run.run_clips import read_run_clips
from train_head.run.training_data import TrainingData


def test_an_existing_cache_is_opened_under_the_same_contract_only(cache, tmp_path):
    write_clip(cache, "a")
    again = create_cache(
        cache.cache_dir,
        contract=dataclasses.replace(SMALL, weights="elsewhere"),
        data_root=tmp_path,
    )
    assert again.is_current("a", SOURCE)
    before = (cache.cache_dir / "cache.json").read_bytes()
    with refusal(
        f"{cache.cache_dir}/cache.json: made with cut=block5_pool, image_size_px=224, but this "
        "command needs cut=fc1, image_size_px=32. Leave out the flags that differ to use the cache "
        "as it is, or name another --cache_dir (with make: CACHE=...)."
    ):
        create_cache(
            cache.cache_dir,
            contract=dataclasses.replace(SMALL, cut="fc1", image_size_px=32),
            data_root=tmp_path,
        )
    assert (cache.cache_dir / "cache.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with refusal(f"{tmp_path}: holds files, but no cache. Expected a cache or an empty or new"):
        create_cache(tmp_path, contract=SMALL, data_root=tmp_path)
    assert list_files(tmp_path) == ["thesis.txt"]


def test_a_folder_that_seems_empty_is_taken(tmp_path):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").touch()
    create_cache(tmp_path, contract=SMALL, data_root=tmp_path)
    assert list_files(tmp_path) == [".DS_Store", "cache.json"]


def test_what_a_start_that_was_killed_left_is_no_file_of_others(tmp_path):
    for name in (".lock", ".cache.json.0123abcd.tmp"):
        (tmp_path / name).touch()
    create_cache(tmp_path, contract=SMALL, data_root=tmp_path)
    assert list_files(tmp_path) == [".lock", "cache.json"]


def test_reading_where_there_is_no_cache(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with refusal(f"{path}/cache.json: there is no cache here. Make it", FileNotFoundError):
            read_cache(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: {**c, "format_version": 99}, "expected format_version 1. Received: 99."),
        (lambda c: {}, "expected format_version 1. Received: None."),
        (lambda c: [], "expected format_version 1. Received: None."),
        (lambda c: {"format_version": 1}, "expected the contract fields"),
        (lambda c: {**c, "contract": {"cut": "fc1"}}, "expected the contract fields"),
        (lambda c: {**c, "data_root": 1}, "expected text as data_root and an object as data_setti"),
        (lambda c: {**c, "data_settings": [1]}, "expected text as data_root and an object as data"),
    ],
)
def test_a_cache_of_another_version_or_hand(cache, change, text):
    path = cache.cache_dir / "cache.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with refusal(f"{path}: {text}"):
        read_cache(cache.cache_dir)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000])
def test_a_cache_json_that_is_none(cache, content):
    (cache.cache_dir / "cache.json").write_bytes(content)
    with refusal("cache.json: not valid JSON ("):
        read_cache(cache.cache_dir)


def test_a_cache_json_that_no_text_can_be_read_of(cache):
    path = cache.cache_dir / "cache.json"
    path.write_bytes(b"\xff\xfe")
    with refusal(f"{path}:1: expected UTF-8 text, received byte 0xff."):
        read_cache(cache.cache_dir)
    path.unlink()
    os.mkfifo(path)
    with refusal(f"{path}: expected a file, received a pipe, device or socket."):
        read_cache(cache.cache_dir)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "1"), ("seed", None), ("test_fraction", None), ("skip_unreadable", "no")],
)
def test_a_setting_that_is_none_is_named_unless_it_is_given(cache, name, value):
    cache.data_settings[name] = value
    settings = DataSettings(data=cache.cache_dir)
    with refusal(
        f"{cache.cache_dir}/cache.json: expected another value of {name} in data_settings. "
        f"Received: {value!r}. Correct it, or give --{name}."
    ):
        settings.complete(cache)
    assert getattr(dataclasses.replace(settings, **{name: 1}).complete(cache), name) == 1


def test_what_is_remembered_of_a_root_is_of_manifests(cache, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = DataSettings(data=Path("a.csv"), data_root=Path("videos")).complete(None)
    root = f"{tmp_path}/videos"  # wherever the next command is run
    assert settings.to_remember()["data_root"] == root
    cache.data_settings.update(settings.to_remember())
    for name, expected in (("b.csv", root), ("b.CSV", root), ("b", None)):
        assert DataSettings(data=Path(name)).complete(cache).data_root == expected


def test_a_cache_that_was_stopped_before_its_list_was_there(cache):
    text = "missing, as where what fills the cache was stopped before its first clip"
    for path in (cache.manifest_path, cache.classes_path):
        with refusal(f"{path}: {text}", FileNotFoundError):
            next(iter_findings(cache))
        with refusal(f"{path}: {text}", FileNotFoundError):
            read_run_clips(TrainingData(cache))
        path.touch()
