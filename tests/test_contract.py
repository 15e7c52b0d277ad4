"""The contract: equal ones mean equal features, and a difference is named."""

import dataclasses
import json

import pytest
from refusals import refusal
from small_cache import CONTRACT

from lrcn.common.cache.contract import COMPARED_FIELDS, Contract


def change(field):
    value = {"image_size_px": 96, "feature_shape": (14, 14, 512)}.get(field, "other")
    return dataclasses.replace(CONTRACT, **{field: value})


def test_json_gives_the_same_contract_back():
    fields = json.loads(json.dumps(CONTRACT.to_json()))
    again = Contract.from_json(fields, where="cache.json")
    assert again == CONTRACT and again.digest == CONTRACT.digest
    assert again.feature_shape == (7, 7, 512) and again.weights == "imagenet"


def test_an_earlier_version_wrote_no_digest():
    assert Contract.from_json(dataclasses.asdict(CONTRACT), where="cache.json") == CONTRACT


@pytest.mark.parametrize("name", [*COMPARED_FIELDS, "digest"])
def test_a_contract_that_was_changed_is_told(name):
    value = getattr(change(name), name) if name in COMPARED_FIELDS else "f" * 64
    value = "flip" if name == "views" else value
    fields = {**CONTRACT.to_json(), name: value}
    with refusal("x/cache.json: expected the contract that was written there. Received: one that"):
        Contract.from_json(fields, where="x/cache.json")
    moved = {**CONTRACT.to_json(), "weights": "/moved.h5"}  # which changes no feature
    assert Contract.from_json(moved, where="x/cache.json").weights == "/moved.h5"


def test_values_per_frame():
    assert CONTRACT.values_per_frame == 25088
    assert dataclasses.replace(CONTRACT, feature_shape=(4096,)).values_per_frame == 4096


@pytest.mark.parametrize("field", COMPARED_FIELDS)
def test_every_compared_field_counts(field):
    other = change(field)
    assert other != CONTRACT and other.digest != CONTRACT.digest
    text = CONTRACT.describe_differences(other)
    assert text.count("=") == 2 and text.count(f"{field}=") == 2
    assert text.startswith("made with ") and ", but this run needs " in text


def test_where_the_weights_came_from_does_not_count():
    assert set(COMPARED_FIELDS) == {f.name for f in dataclasses.fields(Contract)} - {"weights"}
    assert change("weights") == CONTRACT and change("weights").digest == CONTRACT.digest


def test_the_digest_stays_as_it_is():
    # Another value would make every cache that there is unusable.
    assert CONTRACT.digest == "c5a6d27d450d7ac9adb93abf867d85447976259f3cb5c00857d44c7daff514c9"


def test_differences_are_named_in_full_and_hashes_shortened():
    other = dataclasses.replace(CONTRACT, cut="block4_pool", weights_sha256="b" * 64)
    assert CONTRACT.describe_differences(other) == (
        "made with cut=block5_pool, weights_sha256=aaaaaaaaaaaa..., "
        "but this run needs cut=block4_pool, weights_sha256=bbbbbbbbbbbb..."
    )


def test_of_imported_features_what_is_empty_is_left_out():
    imported = dataclasses.replace(CONTRACT, backbone="imported", cut="", image_size_px=0)
    found = "made with backbone=imported, but this run needs backbone=vgg16, cut=block5_pool, imag"
    assert imported.describe_differences(CONTRACT).startswith(found)


@pytest.mark.parametrize(
    ("fields", "received"),
    [
        ({"cut": "fc1"}, r"\['cut'\]"),
        ({**dataclasses.asdict(CONTRACT), "crop": 1}, "'crop'"),
        (None, "NoneType"),
        (["cut"], "list"),
    ],
)
def test_other_fields_are_refused(fields, received):
    with pytest.raises(ValueError, match=rf"^x/cache\.json: .*{received}.*rebuild it"):
        Contract.from_json(fields, where="x/cache.json")


@pytest.mark.parametrize(
    ("field", "value", "what", "received"),
    [
        ("views", [], "text", r"\[\]"),
        ("frame_selection", None, "text", "null"),
        ("weights", 5, "text", "5"),
        ("image_size_px", "224", "a whole number", '"224"'),
        ("image_size_px", True, "a whole number", "true"),
        ("image_size_px", -1, "a whole number", "-1"),
        ("feature_shape", None, "a list of positive whole numbers", "null"),
        ("feature_shape", [7, 0], "a list of positive whole numbers", r"\[7, 0\]"),
        ("feature_shape", "7", "a list of positive whole numbers", '"7"'),
        ("feature_shape", ["7"], "a list of positive whole numbers", r'\["7"\]'),
    ],
)
def test_values_of_another_type_are_refused(field, value, what, received):
    fields = {**dataclasses.asdict(CONTRACT), field: value}
    text = rf"^x/cache\.json: expected {what} as {field}\. Received: {received}\. .*rebuild it"
    with pytest.raises(ValueError, match=text):
        Contract.from_json(fields, where="x/cache.json")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("views", "expected views of ('one', 'flip', 'five_crop', 'ten_crop'). Rec"),
        ("frame_selection", "expected a frame_selection such as all, stride=2 or"),
    ],
)
def test_what_a_later_version_may_write_is_refused(field, text):
    fields = dataclasses.replace(CONTRACT, **{field: "new"}).to_json()
    with refusal(f"x/cache.json: {text}"):
        Contract.from_json(fields, where="x/cache.json")
