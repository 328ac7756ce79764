"""Rendering: static pixels keep the photo's exact values; then holes, chunks, memory, and scenes with ground truth."""

import math

import pytest
import torch

from gid_core.motion import Motion, loop
from gid_core.rendering.render import render, render_chunks
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import stems_scene
from peak_memory import PeakMemory
from random_tensors import random_uniform

pytestmark = pytest.mark.usefixtures("both_ways")


def random_motion(batch=1, size=(12, 17), seed=0, pixels=2.0, frames=10):
    """A loop of smooth random motion of about `pixels`."""
    coarse = random_uniform(batch * 6, 4, 3, 3, seed=seed) - 0.5
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic").view(batch, 6, 4, *size)
    return loop(SpectralVolume(fine * pixels * 75), frames)


def step_motion(x, y, steps=(0.0, 1.0)):
    """Frame n moves by steps[n] * (x, y); x and y are maps [H, W] in pixels."""
    coefficients = torch.zeros(1, 1, 4, *x.shape)
    coefficients[0, 0, 0], coefficients[0, 0, 2] = x, y
    coordinates = torch.zeros(len(steps), 1, 2)
    coordinates[:, 0, 0] = torch.tensor(steps)
    return Motion(SpectralVolume(coefficients), coordinates, 30.0)


def gradient(height, width):
    """A smooth background of blue and green."""
    y, x = torch.arange(height)[:, None] / height, torch.arange(width) / width
    return torch.stack([torch.zeros(height, width), 0.3 + 0.2 * x + 0 * y, 0.5 + 0.3 * y + 0 * x], dim=-1)


def psnr(a, b):
    return -10 * math.log10(float((a - b).pow(2).mean()) + 1e-12)


# ---- static pixels ----


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 17), (40, 33)])
@pytest.mark.parametrize("channels", [3, 4])
def test_without_motion_frames_equal_the_photo_exactly(size, channels):
    photo = random_uniform(*size, channels)
    if channels == 4:
        photo[..., 3] = (photo[..., 3] - 0.5).clamp(min=0)  # half of the pixels are transparent
    for volume in (SpectralVolume(torch.zeros(1, 4, 4, *size)), SpectralVolume(torch.zeros(1, 4, 4, 5, 6))):
        frames, holes = render(photo, loop(volume, 3), return_holes=True)
        assert frames.shape == (3, *size, channels)
        assert torch.equal(frames, photo.expand_as(frames))
        assert torch.equal(holes, torch.zeros(3, *size))


@pytest.mark.parametrize("channels", [3, 4])
def test_the_first_frame_of_a_loop_is_the_photo(channels):
    photo = random_uniform(24, 34, channels)
    assert torch.equal(render(photo, random_motion(), count=1)[0], photo)
    assert not torch.equal(render(photo, random_motion(), start=3, count=1)[0], photo)


def test_an_integer_shift_is_exact():
    photo = random_uniform(12, 15, 3)
    frames = render(photo, step_motion(torch.full((12, 15), 3.0), torch.full((12, 15), -2.0)))
    assert torch.equal(frames[0], photo)
    torch.testing.assert_close(frames[1, :10, 3:], photo[2:, :12], atol=1e-5, rtol=0)


def test_motion_is_scaled_to_the_photo():
    """On a grid of half the height and a third of the width, one pixel is two pixels down and three to the right."""
    photo = random_uniform(20, 30, 3)
    frames = render(photo, step_motion(torch.ones(10, 10), torch.ones(10, 10)))
    torch.testing.assert_close(frames[1, 2:, 3:], photo[:-2, :-3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [3, 4])
def test_static_pixels_beside_an_object_that_moves_60_px_keep_the_photo_exactly(channels):
    photo = random_uniform(80, 160, channels)
    flow = torch.zeros(80, 160)
    flow[30:50, 20:60] = 60
    frames, holes = render(photo, step_motion(flow, torch.zeros(80, 160)), return_holes=True)
    affected = torch.zeros(80, 160, dtype=torch.bool)
    affected[29:51, 19:61] = affected[29:51, 79:121] = True  # motion reaches one pixel beyond the outline
    assert torch.equal(frames[1][~affected], photo[~affected])
    assert holes[1][~affected].sum() == 0
    if channels == 3:  # noise is the hardest photo: the background has a weight of e^-6 in displacement and color
        torch.testing.assert_close(frames[1, 30:50, 80:120], photo[30:50, 20:60], atol=0.1, rtol=0)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("mask_size", [(24, 34), (48, 68), (12, 17)])
def test_black_pixels_of_the_mask_keep_the_photo_exactly(mask_size, channels):
    photo, motion = random_uniform(24, 34, channels), random_motion(pixels=1)
    mask = torch.zeros(mask_size)
    mask[:, mask_size[1] // 2 :] = 1
    frames, unmasked = render(photo, motion, mask=mask), render(photo, motion)
    black = slice(0, 14)  # where the interpolated mask is black too
    assert torch.equal(frames[:, :, black], photo[:, black].expand(10, -1, -1, -1))
    torch.testing.assert_close(frames[:, :, 28:], unmasked[:, :, 28:], atol=1e-4, rtol=0)
    assert (unmasked[1:, :, black] - photo[:, black]).abs().amax(dim=(1, 2, 3)).min() > 0.1


def test_gray_pixels_of_the_mask_reduce_motion():
    photo = random_uniform(20, 30, 3)
    frames = render(photo, step_motion(torch.full((20, 30), 4.0), torch.zeros(20, 30)), mask=torch.full((20, 30), 0.5))
    torch.testing.assert_close(frames[1, :, 2:], photo[:, :-2], atol=1e-5, rtol=0)


def test_each_photo_of_a_batch_has_its_own_mask():
    photos, motion = random_uniform(2, 12, 17, 3), random_motion()
    masks = torch.stack([torch.zeros(12, 17), torch.ones(12, 17)])
    frames = render(photos, motion, mask=masks)
    assert torch.equal(frames[:10], photos[:1].expand(10, -1, -1, -1))
    torch.testing.assert_close(frames[10:], render(photos[1], motion), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"\(2\); got 3"):
        render(photos, motion, mask=torch.ones(3, 12, 17))


# ---- occlusion and holes ----


def block_moving_right(step):
    """A red block of 30 x 40 pixels that moves right by `step` pixels over a smooth background."""
    photo, flow = gradient(60, 120), torch.zeros(60, 120)
    photo[15:45, 40:80] = torch.tensor([1.0, 0.0, 0.0])
    flow[15:45, 40:80] = step
    return photo, step_motion(flow, torch.zeros(60, 120))


def test_moving_pixels_are_in_front():
    photo, motion = block_moving_right(25.0)
    frame = render(photo, motion)[1]
    torch.testing.assert_close(frame[16:44, 66:104], photo[16:44, 41:79], atol=0.03, rtol=0)
    # The displacement of the outermost pixels has a weight of e^-6 of the background's: they are sampled 0.06 px off.
    torch.testing.assert_close(frame[15:45, 65:105], photo[15:45, 40:80], atol=0.05, rtol=0)


@pytest.mark.parametrize("step", [6.0, 25.0, 36.0])
def test_a_hole_shows_the_background_beside_it_not_the_moving_object(step):
    photo, motion = block_moving_right(step)
    frames, holes = render(photo, motion, return_holes=True)
    hole = torch.zeros(60, 120, dtype=torch.bool)
    hole[14:46, 39 : 39 + int(step)] = True  # motion reaches one pixel beyond the outline
    assert torch.equal(holes[1] == 1, hole) and holes[1][~hole].sum() == 0
    assert holes[0].sum() == 0
    fill = frames[1][hole]
    assert fill[:, 0].max() < 0.01  # nothing red
    torch.testing.assert_close(fill, gradient(60, 120)[hole], atol=0.1, rtol=0)


def test_transparent_colors_do_not_bleed():
    """An opaque white disc on transparent red: no red may appear at its edge when it moves."""
    y, x = torch.arange(40)[:, None] - 20, torch.arange(50) - 25
    inside = (x**2 + y**2 < 100)[..., None]
    photo = torch.where(inside, torch.ones(4), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    frames = render(photo, step_motion(torch.full((40, 50), 3.4), torch.full((40, 50), -1.7)))
    visible = frames[1][frames[1, ..., 3] > 0.01]
    assert len(visible) > 250
    torch.testing.assert_close(visible[:, :3], torch.ones_like(visible[:, :3]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("pixels", [3.0, 60.0, 1e4])
def test_frames_are_valid_images_for_any_motion(channels, pixels):
    photo = random_uniform(24, 34, channels)
    photo[:4] = 0
    frames, holes = render(photo, random_motion(pixels=pixels), return_holes=True)
    for values in (frames, holes):
        assert torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1


# ---- frames, chunks and batches ----


@pytest.mark.parametrize(("start", "count"), [(0, 1), (3, 5), (9, 1), (8, 7), (10, 3), (25, 12)])
def test_a_range_of_frames_equals_those_frames_of_the_whole_loop(start, count):
    photo, motion = random_uniform(24, 34, 3), random_motion()
    whole, holes = render(photo, motion, return_holes=True)
    part, part_holes = render(photo, motion, start=start, count=count, return_holes=True)
    expected = [(start + i) % 10 for i in range(count)]
    # A matrix product of another shape may add in another order.
    torch.testing.assert_close(part, whole[expected], atol=5e-5, rtol=0)
    torch.testing.assert_close(part_holes, holes[expected], atol=5e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_frames_do_not_depend_on_the_chunk(chunk):
    photo, motion = random_uniform(24, 34, 4), random_motion()
    torch.testing.assert_close(render(photo, motion, chunk=chunk), render(photo, motion), atol=1e-4, rtol=0)


# Blocks of frames have a fixed length, so that the matrix product does not depend on the range or the chunk.
def test_ranges_and_chunks_agree_exactly():
    photo, motion = random_uniform(40, 60, 3), loop(SpectralVolume(torch.randn(1, 16, 4, 20, 30) * 20), 24)
    whole = render(photo, motion)
    for chunk in (1, 2, 3, 5):
        assert torch.equal(render(photo, motion, chunk=chunk), whole)
    assert torch.equal(render(photo, motion, start=23, count=1), whole[23:])


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 0), (0, 3), (1, 2), (2, None), (5, 1)])
def test_frames_outside_a_motion_that_does_not_loop_are_refused(start, count):
    with pytest.raises(ValueError, match="has 2"):
        render(random_uniform(5, 6, 3), step_motion(torch.ones(5, 6), torch.ones(5, 6)), start=start, count=count)


def test_a_loop_may_start_at_any_frame():
    photo, motion = random_uniform(20, 30, 3), loop(SpectralVolume(torch.randn(1, 4, 4, 20, 30) * 20), 10)
    whole = render(photo, motion)
    assert torch.equal(render(photo, motion, start=37), whole[7:])
    assert torch.equal(render(photo, motion, start=8, count=4), torch.cat([whole[8:], whole[:2]]))


def test_photos_and_motions_of_a_batch():
    photos, motions = random_uniform(3, 24, 34, 3), random_motion(batch=3, seed=5)
    singles = [Motion(motions.volume.replace(coefficients=c[None]), motions.coordinates, 30.0, True)
               for c in motions.volume.coefficients]  # fmt: skip
    cases = [  # photos, motions, the pairs that are rendered
        (photos, motions, [(photos[i], singles[i]) for i in range(3)]),
        (photos, singles[1], [(photos[i], singles[1]) for i in range(3)]),
        (photos[1], motions, [(photos[1], singles[i]) for i in range(3)]),
        (photos[1:2], motions, [(photos[1], singles[i]) for i in range(3)]),
    ]
    for photo, motion, pairs in cases:
        frames, holes = render(photo, motion, start=2, count=4, return_holes=True)
        assert frames.shape == (12, 24, 34, 3) and holes.shape == (12, 24, 34)
        expected = torch.cat([render(*pair, start=2, count=4) for pair in pairs])
        torch.testing.assert_close(frames, expected, atol=5e-5, rtol=0)


def test_batches_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="2 images and 3 motions"):
        render(random_uniform(2, 12, 17, 3), random_motion(batch=3))


def test_render_chunks_yields_the_frames_of_render():
    photo, motion = random_uniform(24, 34, 3), random_motion()
    parts = list(render_chunks(photo, motion, chunk=4))
    assert [len(frames) for frames, _ in parts] == [4, 4, 2]
    frames, holes = render(photo, motion, chunk=4, return_holes=True)
    assert torch.equal(torch.cat([part for part, _ in parts]), frames)
    assert torch.equal(torch.cat([part for _, part in parts]), holes)


def test_inputs_are_not_modified():
    photo, motion, mask = random_uniform(24, 34, 4), random_motion(pixels=8), random_uniform(24, 34)
    inputs = (photo, motion.volume.coefficients, motion.coordinates, mask)
    copies = [tensor.clone() for tensor in inputs]
    render(photo, motion, mask=mask)
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copy)


def test_uint8_photos_and_half_precision_output():
    photo, motion = (random_uniform(24, 34, 3) * 255).round().byte(), random_motion()
    frames = render(photo.float() / 255, motion)
    assert torch.equal(render(photo, motion), frames)
    half = render(photo, motion, dtype=torch.float16)
    assert half.dtype == torch.float16 and torch.equal(half, frames.half())


def test_works_under_inference_mode():
    photo, motion = random_uniform(24, 34, 4), random_motion()
    expected = render(photo, motion)
    with torch.inference_mode():
        assert torch.equal(render(photo, motion), expected)
        assert torch.equal(render(random_uniform(24, 34, 4), random_motion()), expected)
    assert torch.equal(render(photo, motion), expected)  # the threads also work outside of inference mode


# ---- progress, memory ----


def test_progress_is_called_for_every_frame():
    photos, calls = random_uniform(2, 12, 17, 3), []
    frames = render(
        photos, random_motion(), count=4, chunk=3, progress=lambda *call: calls.append((*call[:2], call[2].clone()))
    )
    assert [call[:2] for call in calls] == [(i + 1, 8) for i in range(8)]
    assert torch.equal(torch.stack([call[2] for call in calls]), frames)


def test_progress_may_cancel_and_the_next_run_works():
    photo, motion, calls = random_uniform(12, 17, 3), random_motion(), []

    class Canceled(Exception):
        pass

    def progress(done, total, frame):
        calls.append(done)
        if done == 3:
            raise Canceled

    with pytest.raises(Canceled):
        render(photo, motion, chunk=2, progress=progress)
    assert calls == [1, 2, 3]
    assert len(render(photo, motion)) == 10


def test_memory_beside_the_output_does_not_grow_with_the_frames():
    photo, motion = random_uniform(90, 160, 3), random_motion(size=(45, 80))
    repeated = Motion(motion.volume, motion.coordinates.repeat(6, 1, 1), 30.0, True)
    peaks = []
    for tested in (motion, repeated):
        with PeakMemory() as memory:
            frames = render(photo, tested, chunk=4)
        peaks.append(memory.peak - frames.nbytes)
    assert peaks[0] > 4 * 90 * 160 * 5 * 4  # the meter works: it measures a chunk's sums
    assert peaks[1] < peaks[0] * 1.05


# ---- scenes with ground truth ----


@pytest.fixture(scope="module")
def stems():
    return stems_scene(seed=3, size=(96, 144), amplitude=2.0, supersample=3)


@pytest.mark.parametrize("time", [20, 57, 110])
def test_a_frame_matches_the_ground_truth_of_a_scene(stems, time):
    photo, truth = torch.from_numpy(stems.render(0)), torch.from_numpy(stems.render(time))
    frame = render(photo, loop(stems.spectral_volume()), start=time, count=1)[0]
    assert psnr(frame, truth) > psnr(photo, truth) + 5
    background = torch.from_numpy(stems.background_mask())
    assert torch.equal(frame[background], photo[background])


def test_a_coarse_volume_shows_the_same_motion():
    """A smooth motion at half the photo's size gives about the same frames as at full size."""
    photo = torch.nn.functional.interpolate(random_uniform(1, 3, 12, 17), (48, 68), mode="bicubic")[0].movedim(0, -1)
    photo = photo.clamp(0, 1)
    fine = random_motion(size=(48, 68), pixels=4)
    coarse = Motion(fine.volume.resize((24, 34)), fine.coordinates, fine.fps, True)
    fine_frames, coarse_frames = (render(photo, motion)[:, 3:-3, 3:-3] for motion in (fine, coarse))
    assert psnr(fine_frames, coarse_frames) > 35
    assert psnr(fine_frames[5], coarse_frames[5]) > psnr(fine_frames[5], photo[3:-3, 3:-3]) + 10
