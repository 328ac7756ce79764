"""What a photo looks like when it is carried along displacements, and what is known of the result."""

import pytest
import torch

from gid_core.rendering.warping import premultiply, sample, unpremultiply, warp


def random(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def smooth(height, width, channels=3, seed=0):
    coarse = random(1, channels, max(2, height // 6), max(2, width // 6), seed=seed)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


ALIKE = torch.zeros(1, 1, 20, 30)


def test_without_motion_everything_is_the_photo_to_the_last_bit():
    photo = random(1, 4, 20, 30)
    warped = warp(photo, torch.zeros(2, 2, 20, 30), ALIKE)
    for frames in (warped.splatted, warped.sampled, warped.blended()):
        assert torch.equal(frames, photo.expand(2, -1, -1, -1))
    assert warped.still.all() and not warped.holes.any() and not warped.displacement.any()


def test_a_shift_of_half_a_pixel_keeps_more_of_the_texture_than_splatting_does():
    """A wave of 5 pixels, known between the pixels too: bilinear weights damp it by a fifth."""
    x = torch.arange(60.0)

    def wave(x):
        return (0.5 + 0.4 * torch.sin(x * (2 * torch.pi / 5))).expand(1, 3, 20, -1)

    flow = torch.zeros(1, 2, 20, 60)
    flow[:, 0] = 0.5
    warped = warp(wave(x), flow, torch.zeros(1, 1, 20, 60))
    inside, truth = (..., slice(4, -4), slice(4, -4)), wave(x - 0.5)
    errors = [(frames[inside] - truth[inside]).abs().max() for frames in (warped.splatted, warped.blended())]
    assert errors[1] < 0.4 * errors[0]
    torch.testing.assert_close(warped.displacement[inside], flow[inside])
    assert (warped.agreement[inside] > 0.999).all()


def test_where_two_surfaces_meet_the_splat_is_kept():
    """A bar of noise moves over still noise: no agreement at its outline, full agreement inside and far away."""
    photo, flow = random(1, 3, 20, 60), torch.zeros(1, 2, 20, 60)
    flow[:, 0, :, 20:30] = 5.5
    importance = (flow[:, :1] != 0).float() * 6
    warped = warp(photo, flow, importance)
    agreement = warped.agreement[0, 0, 10]
    assert agreement[27:35].min() > 0.9 and agreement[45:].min() == 1
    outline = warped.agreement[..., 25:26]  # half a pixel of the bar, half of the hole behind it
    assert outline.max() < 0.5
    assert torch.equal(warped.blended()[..., 45:], photo[..., 45:])


def test_a_hole_shows_what_lay_beside_the_mover():
    photo, flow = random(1, 3, 20, 60), torch.zeros(1, 2, 20, 60)
    flow[:, 0, :, 20:30] = 12
    warped = warp(photo, flow, (flow[:, :1] != 0).float() * 6)
    assert (warped.holes[..., 20:30] == 1).all() and warped.holes.sum() == 200
    torch.testing.assert_close(warped.blended()[..., 20:30], photo[..., 8:18], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_window_is_a_part_of_the_whole(mode):
    photo, displacement = smooth(24, 36), 6 * smooth(24, 36, 2, seed=1) - 3
    whole = sample(photo, displacement, mode)
    part = sample(photo, displacement[..., 8:20, 16:30], mode, (8, 16))
    torch.testing.assert_close(part, whole[..., 8:20, 16:30], atol=1e-5, rtol=0)


def test_each_of_a_batch_is_its_own_photo():
    photos, flow, importance = random(3, 3, 20, 30), 4 * random(3, 2, 20, 30, seed=1), random(3, 1, 20, 30, seed=2)
    together = warp(photos, flow, importance)
    for i in range(3):
        alone = warp(photos[i : i + 1], flow[i : i + 1], importance[i : i + 1])
        torch.testing.assert_close(together.blended()[i], alone.blended()[0])


def test_alpha_there_and_back():
    photo = random(2, 4, 5, 6)
    photo[:, 3, :2] = 0
    back = unpremultiply(premultiply(photo))
    torch.testing.assert_close(back[:, :, 2:], photo[:, :, 2:])
    assert not back[:, :, :2].any()
    assert premultiply(photo[:, :3]) is not None and torch.equal(premultiply(photo[:, :3]), photo[:, :3])
