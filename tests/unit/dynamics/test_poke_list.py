"""Pokes as data and as JSON: round trips, defaults, and errors that name the poke and the key."""

import json

import pytest

from gid_core.dynamics.poke_list import Poke, format_pokes, parse_pokes

PULL = Poke(0.6375, 0.4375, -0.05, 0.0)


def test_pokes_round_trip_through_json():
    pokes = [
        PULL,
        Poke(0, 1, 0.123456789, -1, 3.5, 0, "kick"),
        Poke(0.5, 0.5, time=2, path=((0, 0.1, 0), (0.25, -0.3, 0.7))),
    ]
    text = format_pokes(pokes)
    assert parse_pokes(text) == pokes and format_pokes(parse_pokes(text)) == text
    assert set(json.loads(text)[0]) == {"x", "y", "dx", "dy", "time"}
    assert parse_pokes(format_pokes([])) == parse_pokes("") == parse_pokes(" \n") == parse_pokes("[]") == []


def test_optional_keys_have_defaults():
    assert parse_pokes('[{"x": 0.5, "y": 0.4, "dx": 0.1, "dy": 0}]') == [Poke(0.5, 0.4, 0.1, 0, 0, 0.2, "pull")]
    assert parse_pokes('[{"x": 0, "y": 1, "time": 1, "path": [[0.5, 0.1, 0.2]]}]') == [
        Poke(0, 1, 0.1, 0.2, 1, 0.5, path=((0.5, 0.1, 0.2),))
    ]


VALID = '{"x": 0.5, "y": 0.5, "dx": 0, "dy": 0}'
INVALID_JSON = [
    ('[{"x": 0.5', "not valid JSON"),
    ("hello", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ('{"x": 1}', "must be a list.*dict"),
    ("7", "must be a list.*int"),
    ("null", "must be a list"),
    (f"[{VALID}, 3]", "Poke 2 must be an object.*3"),
    (f"[{VALID}, null]", "Poke 2 must be an object"),
]
INVALID_POKES = [  # changes to a valid poke, what the error says
    ({"x": 1.4}, r"Poke 2: x is 1.4; it must be 0 to 1 \(a fraction of the image's width\)"),
    ({"y": -0.1}, r"Poke 2: y is -0.1; it must be 0 to 1 \(a fraction of the image's height\)"),
    ({"dx": 1.5}, "Poke 2: dx is 1.5.* -1 to 1"),
    ({"dy": -2}, "Poke 2: dy is -2.* -1 to 1"),
    ({"time": -1}, "Poke 2: time is -1.*>= 0"),
    ({"hold": -0.5}, "Poke 2: hold is -0.5.*>= 0"),
    ({"x": float("nan")}, "Poke 2: x is nan"),
    ({"dx": float("inf")}, "Poke 2: dx is inf"),
    ({"time": float("inf")}, "Poke 2: time is inf"),
    ({"x": "0.5"}, "Poke 2: x is '0.5'"),
    ({"x": 10**400}, "Poke 2: x is 1000"),  # too large for a float
    ({"x": True}, "Poke 2: x is True"),
    ({"y": None}, "Poke 2: y is None"),
    ({"kind": "push"}, "Poke 2: kind.*pull.*kick.*push"),
    ({"strength": 2}, "Poke 2: 'strength' is not known.*path"),
    ({"path": 3}, r"Poke 2: path must be a list of \(seconds, dx, dy\)"),
    ({"path": [[0, 1]]}, r"Poke 2: path must be a list of \(seconds, dx, dy\)"),
    ({"path": [[0.1, 0, 0], [0.1, 0, 0]]}, r"Poke 2: path\[1\] is at 0.1 s, not after path\[0\]"),
    ({"path": [[-0.1, 0, 0]]}, r"Poke 2: path\[0\] seconds is -0.1"),
    ({"path": [[0, 0, 0], [0.2, float("nan"), 0]]}, r"Poke 2: path\[1\] dx is nan"),
    ({"path": [[0.2, 0.5, 0]]}, "Poke 2: dx is 0, but its path ends at 0.5"),
    ({"path": [[0.2, 0, 0]], "hold": 1}, "Poke 2: hold is 1, but its path ends at 0.2"),
    ({"path": [[0.2, 0, 0]], "kind": "kick"}, "Poke 2: path belongs to a pull"),
]


@pytest.mark.parametrize(("text", "message"), INVALID_JSON)
def test_text_that_is_no_list_of_pokes_is_rejected(text, message):
    with pytest.raises(ValueError, match=message):
        parse_pokes(text)


@pytest.mark.parametrize(("change", "message"), INVALID_POKES)
def test_invalid_pokes_are_rejected_by_number_and_name(change, message):
    with pytest.raises(ValueError, match=message):
        parse_pokes(f"[{VALID}, {json.dumps(json.loads(VALID) | change)}]")


@pytest.mark.parametrize("key", ["x", "y", "dx", "dy"])
def test_missing_keys_are_named(key):
    item = {k: v for k, v in json.loads(VALID).items() if k != key}
    with pytest.raises(ValueError, match=f"Poke 1: {key} is missing"):
        parse_pokes(json.dumps([item]))


def test_pokes_built_in_python_are_checked_too():
    with pytest.raises(ValueError, match="Poke: x is 1.4"):
        Poke(1.4, 0.5)
    with pytest.raises(ValueError, match="Poke: time is nan"):
        Poke(0.4, 0.5, time=float("nan"))


@pytest.mark.parametrize(
    "text", ["[%s]", '[{"x": %s, "y": 0, "dx": 0, "dy": 0}]', '[{"x": 0, "y": 0, "path": [[%s, 0, 0]]}]']
)
@pytest.mark.parametrize("value", ["[" + "7," * 10_000 + "7]", "[" * 500 + "]" * 500, '"' + "a" * 10_000 + '"'])
def test_messages_are_short(text, value):
    with pytest.raises(ValueError, match="Poke 1") as refused:
        parse_pokes(text % value)
    assert len(str(refused.value)) < 300
