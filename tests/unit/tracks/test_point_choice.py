"""Points to follow: a grid fills the picture, weighted points follow a mask, picked points are read."""

import pytest
import torch

import gid_core as gid


def still_volume(size=(30, 40)) -> gid.SpectralVolume:
    return gid.SpectralVolume(torch.zeros(1, 3, 4, *size), 30.0, 12)


def sway(size=(30, 40)) -> gid.Motion:
    """Motion of the right half only."""
    volume = still_volume(size)
    volume.coefficients[:, 1, 0, :, size[1] // 2 :] = 12
    return gid.loop(volume)


@pytest.mark.parametrize(("count", "size"), [(1, (30, 40)), (64, (480, 832)), (100, (1000, 20)), (4096, (64, 64))])
def test_a_grid_has_about_as_many_points_and_no_margin(count, size):
    points = gid.grid_points(count, size)
    assert len(points) == pytest.approx(count, rel=0.35)
    limits = torch.tensor([size[1] - 1.0, size[0] - 1.0])
    assert torch.allclose(points.mean(0), limits / 2, atol=1e-3)
    assert bool((points >= -0.5).all()) and bool((points <= limits + 0.5).all())


def test_weighted_points_lie_where_the_mask_is_white_and_denser_where_it_is_brighter():
    weights = torch.zeros(50, 100)
    weights[:, 20:40], weights[:, 60:80] = 0.3, 0.9
    x, y = (gid.weighted_points(400, weights, (500, 1000)) + 0.5).unbind(1)
    dark, bright = (x >= 200) & (x <= 400), (x >= 600) & (x <= 800)
    assert bool((dark | bright).all())
    assert int(bright.sum()) == pytest.approx(300, abs=10)
    assert int((y < 250).sum()) == pytest.approx(200, abs=10)
    assert len(torch.unique(torch.stack([x, y], 1), dim=0)) == 400


def test_weighted_points_are_always_the_same():
    assert torch.equal(
        gid.weighted_points(9, torch.ones(8, 8), (40, 40)), gid.weighted_points(9, torch.ones(8, 8), (40, 40))
    )


def test_a_mask_covers_the_photo_of_which_the_picture_shows_the_middle():
    mask = torch.zeros(30, 60)
    mask[:, :20], mask[:, 35:40] = 1, 1  # 15 columns of the first, and all of the second, are cut off or shown
    arguments = dict(size=(30, 30), photo_size=(30, 60), mask=mask)
    x = gid.choose_points(sway(), "weighted", 100, **arguments)[:, 0] + 0.5
    # The picture shows columns 15 to 45 of the photo.
    assert bool((((x > 0) & (x < 5.5)) | ((x > 19.5) & (x < 25.5))).all()) and int((x < 10).sum()) > 30
    x = gid.choose_points(sway(), "grid", 900, **arguments)[:, 0]
    assert set(x.tolist()) == {*range(5), *range(20, 25)}


def test_weighted_points_without_a_mask_follow_the_motion():
    points = gid.choose_points(sway(), "weighted", 50, size=(60, 80))
    assert float(points[:, 0].min()) > 37
    with pytest.raises(ValueError, match="still everywhere"):
        gid.choose_points(gid.loop(still_volume()), "weighted")


def test_black_masks_are_refused():
    with pytest.raises(ValueError, match="mask is black"):
        gid.choose_points(sway(), "weighted", mask=torch.zeros(30, 40))
    with pytest.raises(ValueError, match="white of the mask"):
        gid.choose_points(sway(), "grid", mask=torch.zeros(30, 40))


def test_picked_points_are_those_of_the_text():
    picked = '[{"x": 3, "y": 4}]'
    assert torch.equal(gid.choose_points(sway(), "picked", picked=picked), torch.tensor([[2.5, 3.5]]))
