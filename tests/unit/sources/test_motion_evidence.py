"""Motion that is seen stays, plain objects follow their outline, and what is not seen to move is exactly still."""

import cv2
import numpy as np
import pytest

from gid_core.sources.motion_evidence import keep_seen_motion, motion_evidence
from gid_core.sources.optical_flow import estimate_trajectories

COUNT, HEIGHT, WIDTH = 40, 64, 96
NOISE = 0.008
SWAY = (2 * np.sin(np.arange(COUNT) / 4)).astype(np.float32)  # px


def texture(seed=0, height=HEIGHT, width=WIDTH):
    """Smooth noise, float32 [H, W, 3] in 0..1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, 3)), (0, 0), 2)
    return ((noise - noise.min()) / (noise.max() - noise.min())).astype(np.float32)


def shifted(image, distance):
    """The image moved right and down by the same distance in pixels."""
    matrix = np.float32([[1, 0, distance], [0, 1, distance]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def with_noise(frames, seed=3):
    noise = np.random.default_rng(seed).standard_normal(frames.shape) * NOISE
    return (frames + noise).clip(0, 1).astype(np.float32)


def object_on_wall(color, rows, columns, wall=0.6):
    """A box of colors [H, W, 3] that sways in front of a plain wall, with sensor noise, and the box in frame 0."""
    mask = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    mask[rows, columns] = 1
    frames = []
    for distance in SWAY:
        alpha = shifted(mask, distance)[..., None]
        frames.append(alpha * shifted(color, distance) + (1 - alpha) * wall)
    return with_noise(np.stack(frames)), mask[..., 0] > 0


def sway_trajectories(where):
    path = np.zeros((COUNT, 2, HEIGHT, WIDTH), np.float32)
    path[:, :, where] = SWAY[:, None, None]
    return path


def magnitude(path):
    return np.linalg.norm(path, axis=1).mean(0)


def test_a_plain_wall_beside_a_stem_is_still():
    frames, stem = object_on_wall(texture() * 0.5, np.s_[:], np.s_[44:52])
    path, _ = estimate_trajectories(frames)
    error = np.linalg.norm(path.numpy() - sway_trajectories(stem), axis=1).mean(0)
    assert error[stem].mean() <= 0.15
    assert magnitude(path.numpy())[:, 60:].mean() <= 0.01 and magnitude(path.numpy())[:, :36].mean() <= 0.01


def test_noise_of_the_flow_on_a_plain_wall_becomes_exactly_0():
    frames, stem = object_on_wall(texture() * 0.5, np.s_[:], np.s_[44:52])
    flow = sway_trajectories(stem)
    flow[1:] += np.random.default_rng(1).standard_normal(flow[1:].shape).astype(np.float32) * 0.3 * ~stem
    path, confidence = keep_seen_motion(frames, flow, np.full((HEIGHT, WIDTH), 0.4, np.float32))
    assert (path[:, :, :, 60:] == 0).all() and (path[:, :, :, :36] == 0).all() and (confidence[:, 60:] == 1).all()
    assert np.array_equal(path[:, :, stem], flow[:, :, stem]) and (confidence[stem] == np.float32(0.4)).all()


def test_a_plain_object_moves_as_one():
    frames, card = object_on_wall(np.full((HEIGHT, WIDTH, 3), 0.2, np.float32), np.s_[16:48], np.s_[30:66])
    inside = cv2.erode(card.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    path, _ = keep_seen_motion(frames, sway_trajectories(card & ~inside), np.ones((HEIGHT, WIDTH), np.float32))
    np.testing.assert_allclose(path[:, :, card], sway_trajectories(card)[:, :, card], atol=0.02)
    assert (path[:, :, :8] == 0).all() and (path[:, :, :, 78:] == 0).all()


def test_an_area_between_different_motions_is_not_filled():
    frames, card = object_on_wall(np.full((HEIGHT, WIDTH, 3), 0.2, np.float32), np.s_[16:48], np.s_[30:66])
    inside = cv2.erode(card.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    flow = sway_trajectories(card & ~inside)
    flow *= np.sign(np.sin(np.arange(HEIGHT) * 0.7)).astype(np.float32)[:, None]
    path, _ = keep_seen_motion(frames, flow, np.ones((HEIGHT, WIDTH), np.float32))
    assert (path[:, :, 28:36, 44:52] == 0).all()


@pytest.mark.parametrize("image", [texture(), np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)], ids=["textured", "plain"])
def test_a_static_noisy_clip_does_not_move(image):
    path, confidence = estimate_trajectories(with_noise(np.repeat(image[None], COUNT, 0)))
    assert magnitude(path.numpy()).mean() <= 0.001 and (confidence > 0.9).all()


def test_a_textured_plane_keeps_its_motion():
    plane = texture(height=HEIGHT, width=WIDTH)
    frames = with_noise(np.stack([shifted(plane, distance) for distance in SWAY]))
    flow = sway_trajectories(np.ones((HEIGHT, WIDTH), bool))
    path, _ = keep_seen_motion(frames, flow, np.ones((HEIGHT, WIDTH), np.float32))
    assert np.linalg.norm(path - flow, axis=1).mean() <= 0.02


@pytest.mark.parametrize("count, size", [(1, (1, 1)), (2, (1, 1)), (3, (1, 9)), (3, (9, 1)), (5, (2, 3))])
def test_every_size_works(count, size):
    frames = np.random.default_rng(0).random((count, *size, 3), dtype=np.float32)
    flow = np.random.default_rng(1).standard_normal((count, 2, *size)).astype(np.float32)
    path, confidence = keep_seen_motion(frames, flow, np.ones(size, np.float32))
    assert path.shape == flow.shape and path.dtype == np.float32 and np.isfinite(path).all()
    assert confidence.shape == size and confidence.dtype == np.float32
    assert all(evidence.shape == size and evidence.dtype == bool for evidence in motion_evidence(frames, flow))
