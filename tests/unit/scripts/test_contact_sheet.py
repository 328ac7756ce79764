"""Contact sheets: the places that they choose, and their layout."""

import cv2
import numpy as np
import pytest

import contact_sheet


def byte_loop(center, frames=12):
    """A bright square of 8 pixels that sways around a place (x, y) on gray: uint8 [frames, 48, 96, 3]."""
    video = np.full((frames, 48, 96, 3), 100, np.uint8)
    for t in range(frames):
        x, y = center[0] + round(3 * np.sin(2 * np.pi * t / frames)), center[1]
        video[t, y - 4 : y + 4, x - 4 : x + 4] = 255
    return video


def test_places_are_where_things_move_on_either_side():
    loops = [byte_loop((20, 12)), byte_loop((70, 34))]
    places = contact_sheet.moving_places([contact_sheet.motion_map(loop) for loop in loops], side=16)
    assert len(places) == 2
    for x, y in ((20, 12), (70, 34)):
        assert any(left <= x - 4 and x + 4 <= left + 16 and top <= y < top + 16 for left, top in places)


def test_a_weak_side_counts_as_much_as_a_strong_one():
    weak = contact_sheet.motion_map(byte_loop((70, 34))) * 0.05
    places = contact_sheet.moving_places([contact_sheet.motion_map(byte_loop((20, 12))), weak], side=16)
    assert any(abs(left + 8 - 70) < 8 for left, _ in places)


def test_places_do_not_overlap_and_lie_inside():
    places = contact_sheet.moving_places([np.random.default_rng(0).random((60, 90)).astype(np.float32)], side=20)
    assert len(places) == 3
    assert all(0 <= left <= 70 and 0 <= top <= 40 for left, top in places)
    for i, (x, y) in enumerate(places):
        assert all(abs(x - u) >= 20 or abs(y - v) >= 20 for u, v in places[:i])


@pytest.mark.parametrize("size", [(288, 512), (768, 512), (40, 512)])
def test_sheets_fit_a_screen_whatever_the_shape_of_the_photo(size):
    rng = np.random.default_rng(1)
    loops = [rng.integers(0, 255, (frames, *size, 3), np.uint8) for frames in (7, 9)]
    sheet = contact_sheet.contact_sheet(loops)
    assert sheet.shape[1] <= contact_sheet.SHEET_WIDTH and sheet.dtype == np.uint8


def test_loops_that_stand_still_have_a_sheet_and_others_are_refused():
    still = np.full((3, 48, 96, 3), 90, np.uint8)
    assert contact_sheet.contact_sheet([still, still]).shape[2] == 3
    with pytest.raises(ValueError, match="one size"):
        contact_sheet.contact_sheet([still, still[:, :40]])
    with pytest.raises(ValueError, match="2 frames"):
        contact_sheet.contact_sheet([still, still[:1]])


def test_crops_are_enlarged_three_times():
    loops = [byte_loop((30, 24))] * 2
    sheet = contact_sheet.contact_sheet(loops)
    found = cv2.matchTemplate(sheet, np.full((18, 18, 3), 255, np.uint8), cv2.TM_SQDIFF_NORMED)
    assert found.min() < 1e-3  # the square of 8 pixels is 24 wide in a crop
    assert sheet.shape[0] > 2 * 3 * 48
