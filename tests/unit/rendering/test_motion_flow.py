"""Optical flow of a motion, from the photo and from frame to frame."""

import pytest
import torch

import gid_core as gid
from gid_core.rendering.visualization import flow_to_image, flows_to_images


def shift(loops=True) -> gid.Motion:
    """The whole picture shifts by 4 px to the right and back in 8 frames; two motions of which one goes down."""
    coefficients = torch.zeros(2, 2, 4, 20, 30)
    coefficients[0, 1, 0] = coefficients[1, 1, 2] = -8
    motion = gid.loop(gid.SpectralVolume(coefficients, 8.0, 8))
    return gid.Motion(motion.volume, motion.coordinates, motion.fps, loops)


def test_flow_from_the_photo_is_the_displacement():
    motion = shift()
    assert torch.allclose(gid.motion_flow(motion), motion.displacement(), atol=1e-5)
    part = gid.motion_flow(motion, start=6, count=4)
    assert torch.allclose(part, motion.displacement()[:, [6, 7, 0, 1]], atol=1e-5)
    large = gid.motion_flow(motion, size=(40, 90), count=5)
    assert float(large[0, 4, 0, 20, 45]) == pytest.approx(3 * float(motion.displacement()[0, 4, 0, 5, 5]), rel=1e-4)
    assert float(large[1, 4, 1, 20, 45]) == pytest.approx(2 * float(motion.displacement()[1, 4, 1, 5, 5]), rel=1e-4)


@pytest.mark.parametrize("loops", [True, False])
def test_flow_between_frames_is_the_step(loops):
    motion = shift(loops)
    flow, displacement = gid.motion_flow(motion, "frame to frame"), motion.displacement()
    assert flow.shape[1] == (8 if loops else 7)
    steps = displacement.roll(-1, 1) - displacement
    assert torch.allclose(flow, steps[:, : flow.shape[1]], atol=1e-4)
    with pytest.raises(ValueError, match="one frame"):
        gid.motion_flow(gid.Motion(motion.volume, motion.coordinates[:1], 8.0), "frame to frame")
    if not loops:
        with pytest.raises(ValueError, match="8 frames from frame 0"):
            gid.motion_flow(motion, "frame to frame", count=8)


def test_flow_between_frames_is_at_the_place_of_the_frame():
    """A block that has moved by 6 pixels: its step is found there, and not where it came from."""
    coefficients = torch.zeros(1, 1, 4, 30, 40)
    coefficients[0, 0, 0, 10:20, 10:20] = 1
    coordinates = torch.tensor([[[0.0, 0.0]], [[6.0, 0.0]], [[7.0, 0.0]]])
    motion = gid.Motion(gid.SpectralVolume(coefficients, 30.0, 3), coordinates, 30.0)
    dx = gid.motion_flow(motion, "frame to frame")[0, 1, 0]
    assert torch.allclose(dx[11:19, 17:25], torch.ones(8, 8), atol=0.01)  # what is hidden below counts e^-6
    assert not bool(dx[:, 27:].any()) and not bool(dx[:10].any())


def test_what_does_not_fit_into_memory_is_refused():
    with pytest.raises(ValueError, match=r"flows of 16384 x 16384 pixels need .* fewer at a time"):
        gid.motion_flow(shift(), size=(16384, 16384), count=10000)


def test_colors_have_one_scale():
    flows = torch.zeros(2, 2, 8, 8)
    flows[0, 0], flows[1, 0] = 1, 4
    images = flows_to_images(flows)
    assert torch.equal(images[1], flow_to_image(flows[1]))
    assert float(images[0, 0, 0, 1]) == pytest.approx(0.75) and float(images[1, 0, 0, 1]) == 0
