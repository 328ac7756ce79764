"""Tracks as JSON: what is written is read back, in all forms that editors write, and nothing else is accepted."""

import json
import sys

import pytest
import torch

import gid_core as gid
from gid_core import memory

SIZE = (60, 80)


def moving(batch=1, count=3, length=5) -> gid.Tracks:
    positions = torch.rand(batch, count, length, 2, generator=torch.Generator().manual_seed(0)) * 100 - 10
    return gid.Tracks(positions, SIZE, 24.0)


@pytest.mark.parametrize("batch", [1, 3])
def test_tracks_come_back_from_json(batch):
    tracks = moving(batch)
    again = gid.parse_tracks(gid.format_tracks(tracks), SIZE)
    assert torch.allclose(again.positions, tracks.positions, atol=1e-3)
    assert (again.size, again.fps, len(again)) == (SIZE, 24.0, 5)


def test_json_counts_from_the_corner_of_the_first_pixel():
    tracks = gid.Tracks(torch.tensor([[[[0.0, 0.0], [10.25, -3.0]]]]), SIZE, 24.0)
    assert json.loads(gid.format_tracks(tracks)) == [[{"x": 0.5, "y": 0.5}, {"x": 10.75, "y": -2.5}]]


def test_editors_write_one_track_or_single_quotes_or_more_keys():
    one = gid.parse_tracks("[{'x': 1, 'y': 2, 'visible': 1}, {'x': 3, 'y': 5}]", SIZE)
    assert torch.equal(one.positions, torch.tensor([[[[0.5, 1.5], [2.5, 4.5]]]]))
    assert torch.equal(one.displacement, torch.tensor([[[[0.0, 0.0], [2.0, 3.0]]]]))


def test_an_apostrophe_in_another_key_is_no_quote():
    text = json.dumps([[{"x": 1, "y": 2, "name": 'it\'s "that" point'}]])
    assert torch.equal(gid.parse_tracks(text, SIZE).positions, torch.tensor([[[[0.5, 1.5]]]]))
    assert torch.equal(gid.parse_points(text, SIZE), torch.tensor([[0.5, 1.5]]))


@pytest.mark.parametrize("text", ['[{"x": %s, "y": 1}]', '[[{"x": 1, "y": 1}], %s]', '[[{"x": 1, "y": 1}], [%s]]'])
@pytest.mark.parametrize("parse", [gid.parse_tracks, gid.parse_points])
def test_nested_lists_are_refused_at_every_depth(parse, text):
    """Also where Python can just read them, but not write them into a message."""
    for depth in range(sys.getrecursionlimit() // 2, sys.getrecursionlimit()):
        with pytest.raises(ValueError, match="[Tt]rack|[Pp]oint"):
            parse(text % ("[" * depth + "]" * depth), SIZE)


def test_a_text_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e4)
    assert gid.format_tracks(moving(count=5))
    with pytest.raises(ValueError, match=r"Tracks of 30 points as JSON need .*num_points"):
        gid.format_tracks(moving(count=6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[[", "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ("[]", "lists of points"),
        ("[[]]", "lists of points"),
        ("7", "lists of points"),
        ('{"x": 1, "y": 2}', "lists of points"),
        ('[[[[{"x": 1, "y": 2}]]]]', "lists of points"),
        ('[[{"x": 1, "y": 2}], []]', "track 2 must be a list"),
        ('[[{"x": 1, "y": 2}], [3]]', "track 2, point 1 must be an object"),
        ('[[{"x": 1}]]', "track 1, point 1: y must be a number .* got None"),
        ('[[{"x": 1, "y": NaN}]]', "y must be a number"),
        ('[[{"x": 1, "y": true}]]', "y must be a number"),
        ('[[{"x": "1", "y": 2}]]', "x must be a number"),
        ('[[{"x": 1e9, "y": 2}]]', "x must be a number"),
        ('[[{"x": 1, "y": 2}, {"x": 1, "y": 2}], [{"x": 1, "y": 2}]]', "track 2 has 1 points and track 1 has 2"),
        ('[[[{"x": 1, "y": 2}]], [[{"x": 1, "y": 2}], [{"x": 1, "y": 2}]]]', "equally many tracks"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        gid.parse_tracks(text, SIZE)


def test_points_are_picked_from_points_and_tracks():
    points = torch.tensor([[9.5, 19.5], [29.5, 39.5]])
    assert torch.equal(gid.parse_points('[{"x": 10, "y": 20}, {"x": 30, "y": 40}]', SIZE), points)
    tracks = '[[{"x": 10, "y": 20}, {"x": 0, "y": 0}], [{"x": 30, "y": 40}, {"x": 0, "y": 0}]]'
    assert torch.equal(gid.parse_points(tracks, SIZE), points)
    assert torch.equal(gid.parse_points('[{"x": 80, "y": 60}]', SIZE), torch.tensor([[79.5, 59.5]]))


@pytest.mark.parametrize("text", ["", "[]", "[[]]", "{}", '[{"x": 81, "y": 1}]', '[{"x": 1, "y": -1}]', "[1]"])
def test_points_outside_and_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="[Pp]oint"):
        gid.parse_points(text, SIZE)
