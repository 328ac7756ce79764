"""Blind comparisons: which side is where, what is rendered, and how answers are counted."""

import json
import re

import numpy as np
import pytest
import torch

import blind_sheets
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import write_video

SIZE = (48, 96)  # (H, W)


def loop_of(center, color=(1.0, 1.0, 1.0), frames=12):
    """A bright square that sways around a place (x, y) on gray: float32 [frames, H, W, 3]."""
    video = torch.full((frames, *SIZE, 3), 0.4)
    for t in range(frames):
        x, y = center[0] + round(3 * np.sin(2 * np.pi * t / frames)), center[1]
        video[t, y - 4 : y + 4, x - 4 : x + 4] = torch.tensor(color)
    return video


@pytest.fixture
def folders(tmp_path):
    """Photos of three names, and two folders of videos: red squares on side A, blue ones on side B."""
    for folder, color in (("a", (1.0, 0.0, 0.0)), ("b", (0.0, 0.0, 1.0))):
        (tmp_path / folder).mkdir()
        for name in ("fern", "rose", "tree"):
            write_video(tmp_path / folder / f"{name}.mp4", loop_of((30, 24), color), 10, crf=1)
    (tmp_path / "photos").mkdir()
    for name in ("fern", "rose", "tree"):
        write_image(tmp_path / "photos" / f"{name}.jpg", loop_of((30, 24))[0])
    return tmp_path


def make(folders, *arguments):
    sides = ["--a", str(folders / "a"), "--b", str(folders / "b"), "--photos", str(folders / "photos")]
    return blind_sheets.main([*sides, "--out", str(folders / "out"), "--width", "96", *arguments])


# ---- sheets ----


def test_there_is_a_sheet_for_each_photo_and_a_key_beside_them(folders, capsys):
    assert make(folders) == 0
    sheets = folders / "out" / "sheets"
    assert {path.name for path in sheets.iterdir()} == {"fern.png", "rose.png", "tree.png", "instructions.md"}
    key = json.loads((folders / "out" / "key.json").read_text())
    assert set(key["first"]) == {"fern", "rose", "tree"} and set(key["first"].values()) <= {"A", "B"}
    assert key["sides"] == {"A": str(folders / "a"), "B": str(folders / "b")}
    text = (sheets / "instructions.md").read_text()
    assert '"fern"' in text and str(folders) not in text and "not for the judge" in capsys.readouterr().out


@pytest.mark.parametrize("shuffle_seed", range(3))
def test_the_key_says_which_side_is_above(folders, shuffle_seed):
    make(folders, "--shuffle-seed", str(shuffle_seed))
    first = json.loads((folders / "out" / "key.json").read_text())["first"]
    for name, side in first.items():
        sheet = read_image(folders / "out" / "sheets" / f"{name}.png")
        upper, lower = sheet[: len(sheet) // 2], sheet[len(sheet) // 2 :]
        red = [float(((half[..., 0] > 0.7) & (half[..., 1:] < 0.3).all(-1)).float().mean()) for half in (upper, lower)]
        assert (red[0] > 0.01 > red[1]) if side == "A" else (red[1] > 0.01 > red[0])


def test_the_order_is_random_but_the_same_in_every_run():
    orders = [[blind_sheets.first_side(f"photo{i}", seed) for i in range(200)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert 70 < orders[0].count("A") < 130


def test_count_and_pattern_choose_photos(folders, capsys):
    assert make(folders, "--count", "2") == 0
    assert set(json.loads((folders / "out" / "key.json").read_text())["first"]) == {"fern", "rose"}
    assert make(folders, "--pattern", "t*.jpg") == 0
    assert set(json.loads((folders / "out" / "key.json").read_text())["first"]) == {"tree"}
    assert make(folders, "--pattern", "*.webp") == 1
    assert "holds no photos" in capsys.readouterr().err


def test_a_missing_video_is_named(folders, capsys):
    (folders / "b" / "rose.mp4").unlink()
    assert make(folders) == 1
    assert "Side B" in (error := capsys.readouterr().err) and "rose" in error


def test_a_checkout_renders_each_photo_once(folders):
    checkout = folders / "a"
    (checkout / "gid_core" / "training").mkdir(parents=True)
    # A stand-in for the software: it writes the options that it got, and a video.
    program = f"""
import shutil, sys
from pathlib import Path
Path({str(folders / "calls.txt")!r}).open("a").write(" ".join(sys.argv[1:]) + "\\n")
shutil.copy({str(checkout / "fern.mp4")!r}, sys.argv[sys.argv.index("-o") + 1])
"""
    (checkout / "gid_core" / "__main__.py").write_text(program)
    arguments = ("--seed", "7", "--a-options", "--steps 3", "--count", "2")
    assert make(folders, *arguments) == 0
    calls = (folders / "calls.txt").read_text().splitlines()
    assert len(calls) == 2
    assert re.fullmatch(r"animate \S+/fern\.png --seed 7 -o \S+\.mp4 --steps 3", calls[0])
    (checkout / "gid_core" / "training" / "trainer.py").touch()  # has no part in rendering
    make(folders, *arguments)
    assert (folders / "calls.txt").read_text().splitlines() == calls
    (checkout / "gid_core" / "cli.py").touch()
    make(folders, *arguments)
    assert len((folders / "calls.txt").read_text().splitlines()) == 4


def test_a_checkout_that_fails_is_reported(folders, capsys):
    (folders / "b" / "gid_core").mkdir()
    (folders / "b" / "gid_core" / "__main__.py").write_text("raise SystemExit('no such model')")
    assert make(folders) == 1
    assert "Side B did not animate" in (error := capsys.readouterr().err) and "no such model" in error
    assert not list((folders / "out" / "renders").rglob("*.mp4"))


# ---- score ----

KEY = {"fern": "A", "rose": "B", "tree": "B", "moss": "A"}


def test_choices_are_turned_into_sides():
    assert blind_sheets.count_preferences(KEY, {"fern": 2, "rose": 1, "tree": 1, "moss": 2}) == (4, 4)
    assert blind_sheets.count_preferences(KEY, {"fern": 1, "rose": {"choice": 2, "why": "it melts"}}) == (0, 2)


@pytest.mark.parametrize("answers", [{"fern": 3}, {"fern": "1"}, {"fern": True}, {"oak": 1}, {"fern": {"why": "?"}}])
def test_wrong_answers_are_refused(answers):
    with pytest.raises(ValueError, match="1 or 2|no sheet"):
        blind_sheets.count_preferences(KEY, answers)


def test_wilson_interval_has_known_values():
    assert blind_sheets.wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert blind_sheets.wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    low, high = blind_sheets.wilson_interval(5, 5)
    assert (low, high) == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert blind_sheets.wilson_interval(0, 0) == (0, 1)


def test_the_score_of_each_judge_and_of_all(tmp_path, capsys):
    (tmp_path / "key.json").write_text(json.dumps({"sides": {"A": "old", "B": "new"}, "first": KEY}))
    (tmp_path / "ann.json").write_text(json.dumps({"fern": 2, "rose": 1, "tree": 1, "moss": 2}))
    (tmp_path / "bob.json").write_text(json.dumps({"fern": 1, "rose": 1}))
    files = [str(tmp_path / "ann.json"), str(tmp_path / "bob.json")]
    assert blind_sheets.main(["--out", str(tmp_path), "--score", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["A: old", "B: new"]
    assert lines[2].startswith("ann: B preferred 4 of 4 times, 100%") and lines[2].endswith("4 of 4 sheets answered")
    assert lines[3].startswith("bob: B preferred 1 of 2 times, 50%") and lines[3].endswith("2 of 4 sheets answered")
    assert lines[4].startswith("all: B preferred 5 of 6 times, 83% (95 %: 44% to 97%)")
