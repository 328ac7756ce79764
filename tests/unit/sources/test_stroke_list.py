"""Brush strokes as data and as JSON: round trips, defaults, and errors that name the stroke and the key."""

import json

import pytest

from gid_core.sources.stroke_list import MAX_STROKES, Stroke, format_strokes, parse_strokes

VALID = {"kind": "move", "points": [[0.5, 0.5], [0.6, 0.4, 0.5]], "radius": 0.1, "softness": 0, "stiffness": 2}


def test_strokes_round_trip_through_json():
    strokes = [
        Stroke("move", ((0.123456789, 0.5), (0.2, -0.3, 0.25)), 0.2, 1, 0.1),
        Stroke("pin", ((0.5, 0.5),)),
        Stroke("erase", ((0, 1), (1, 0))),
        Stroke("arrow", ((0.5, 0.5), (0.6, 0.5))),
    ]
    text = format_strokes(strokes)
    assert parse_strokes(text) == strokes and format_strokes(parse_strokes(text)) == text
    assert set(json.loads(text)[1]) == {"kind", "points"}
    assert parse_strokes(format_strokes([])) == parse_strokes("") == parse_strokes(" \n") == parse_strokes("[]") == []


def test_optional_keys_have_defaults():
    (stroke,) = parse_strokes('[{"kind": "move", "points": [[0.5, 0.4]]}]')
    assert stroke == Stroke("move", ((0.5, 0.4, 1.0),), 0.04, 0.5, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"kind"', "not valid JSON"),
        ("hello", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "must be a list.*dict"),
        ("null", "must be a list.*NoneType"),
        ("[3]", "Stroke 1 must be an object.*3"),
        ('[{"points": [[0, 0]]}]', "Stroke 1: kind is missing"),
        ('[{"kind": "move"}]', "Stroke 1: points is missing"),
        (json.dumps([VALID] * (MAX_STROKES + 1)), f"at most {MAX_STROKES}; got {MAX_STROKES + 1}"),
    ],
)
def test_texts_that_are_no_strokes(text, message):
    with pytest.raises(ValueError, match=message):
        parse_strokes(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "dance"}, "kind must be one of move, pin, erase, arrow; got 'dance'"),
        ({"kind": None}, "kind must be one of"),
        ({"points": []}, r"points must be a list of 1 to 2000 points \[x, y\] or \[x, y, pressure\]; got \[\]"),
        ({"points": [[0.5]]}, "points must be a list"),
        ({"points": "ab"}, "points must be a list"),
        ({"points": [[0, 0]] * 2001}, "points must be a list"),
        ({"points": [[0.5, float("nan")]]}, r"points\[0\] y must be a number from -1 to 2; got nan"),
        ({"points": [[0, 0], [3, 0]]}, r"points\[1\] x must be a number from -1 to 2; got 3"),
        ({"points": [[0, "0"]]}, r"points\[0\] y must be a number"),
        ({"points": [[0, 0, -1]]}, r"points\[0\] pressure must be a number from 0 to 1; got -1"),
        ({"kind": "arrow", "points": [[0, 0]]}, "points of an arrow must be its two ends"),
        ({"kind": "arrow", "points": [[0, 0], [0, 0]]}, "points of an arrow must be its two ends"),
        ({"radius": 0}, r"radius must be a number from 0.001 to 0.5 \(a fraction of the image's longer side\); got 0"),
        ({"radius": float("inf")}, "radius must be .* got inf"),
        ({"softness": 1.5}, "softness must be a number from 0 to 1"),
        ({"stiffness": 0}, "stiffness must be a number from 0.1 to 10"),
        ({"stiffness": 10**400}, "stiffness must be a number"),
        ({"color": 1}, "'color' is not known; the names are kind, points, radius, softness, stiffness"),
    ],
)
def test_errors_name_the_stroke_and_the_key(changes, message):
    with pytest.raises(ValueError, match=f"Stroke 2: {message}"):
        parse_strokes(json.dumps([VALID, VALID | changes]))


def test_lists_of_anything_else_are_refused():
    for wrong in ("[]", 3, None, [{"kind": "move"}]):
        with pytest.raises(ValueError, match="strokes.* must be"):
            format_strokes(wrong)
