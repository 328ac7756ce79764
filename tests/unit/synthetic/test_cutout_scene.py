"""Cut-outs over a photograph: the motion is the one that the frames show, and the photograph stays still."""

import cv2
import numpy as np
import pytest
import torch

from gid_core.media.image_io import write_image
from gid_core.synthetic.cutout_scene import cutout_scene, load_cutouts

SIZE = (96, 160)


@pytest.fixture(scope="module")
def cutouts(tmp_path_factory):
    """Two plants in one picture: stems with round heads."""
    image = np.zeros((200, 240, 4), np.float32)
    for x, height, color in ((60, 180, (0.8, 0.2, 0.2)), (180, 120, (0.3, 0.6, 0.2))):
        cv2.line(image, (x, 199), (x, 199 - height + 20), (*color, 1), 5)
        cv2.circle(image, (x, 199 - height + 20), 20, (*color, 1), -1)
    folder = tmp_path_factory.mktemp("cutouts")
    write_image(folder / "plants.png", torch.from_numpy(image))
    return load_cutouts(folder)


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.random((120, 200, 3), np.float32), (0, 0), 1.5)


def test_a_picture_holds_several_cutouts_each_with_its_root(cutouts):
    assert len(cutouts) == 2
    for cutout, height in zip(sorted(cutouts, key=lambda c: -c.image.shape[0]), (180, 120), strict=True):
        assert abs(cutout.image.shape[0] - height) < 12
        x, y = cutout.root
        assert y > cutout.image.shape[0] - 12
        assert abs(x - cutout.image.shape[1] / 2) < 3


def test_same_seed_same_scene(cutouts, photo):
    a, b, other = (cutout_scene(seed, cutouts, photo, SIZE) for seed in (1, 1, 2))
    assert np.array_equal(a.render(7), b.render(7))
    assert not np.array_equal(a.render(7), other.render(7))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frames_follow_the_displacements(cutouts, photo, seed):
    scene = cutout_scene(seed, cutouts, photo, SIZE, mean_motion=1.5)
    still, frame, flow = scene.render(0), scene.render(40), scene.displacement(40)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    found = cv2.remap(frame, x + flow[0], y + flow[1], cv2.INTER_LINEAR)
    inside = cv2.erode(scene.interior_mask().astype(np.uint8), np.ones((3, 3))) > 0
    assert inside.sum() > 50
    moved, unmoved = np.abs(found - still)[inside].mean(), np.abs(frame - still)[inside].mean()
    assert moved < 0.03
    assert moved < unmoved or unmoved < 0.01


def test_the_photo_stays_still(cutouts, photo):
    scene = cutout_scene(4, cutouts, photo, SIZE)
    background = scene.background_mask()
    assert background.any()
    assert np.array_equal(scene.render(0)[background], scene.render(75)[background])


def test_roots_move_least(cutouts, photo):
    scene = cutout_scene(5, cutouts, photo, SIZE)
    for layer in scene.layers:
        rows = np.arange(SIZE[0], dtype=float)
        x0, _, x1, _ = layer.bounds(scene.supersample)
        reach = np.linalg.norm(layer.fields(np.full_like(rows, (x0 + x1) / 2), rows), axis=1)[0]
        assert reach.min() == 0 or reach.argmin() in (0, SIZE[0] - 1)


def test_folder_without_cutouts(tmp_path):
    with pytest.raises(ValueError, match="no PNG with alpha"):
        load_cutouts(tmp_path)
