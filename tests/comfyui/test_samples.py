"""Load Sample gives files of this pack, or what is connected; Fit Image limits a size."""

import numpy as np
import pytest
from PIL import Image

import gid_core as gid
from comfy_server import NodeFailed

SIZE = (48, 80)


@pytest.fixture
def photo():
    return np.random.default_rng(0).random((*SIZE, 3))


def pixels(path):
    """The file's colors, and how white its mask is in Load Image: uint8 [H, W, 3], [H, W]."""
    rgba = np.asarray(Image.open(path).convert("RGBA"))
    return rgba[..., :3], 255 - rgba[..., 3]


def test_the_samples_are_the_files(server, graph, repo):
    saves = {}
    files = {"flowers": "flowers_painted.png", "sticker": "sticker.png", "dandelions": "dandelions_painted.webp"}
    for name, file in files.items():
        sample = graph.add("GID_LoadSample", sample=name)
        saves[file] = graph.save(sample), graph.save(graph.add("MaskToImage", mask=sample[1]))
    sample = graph.add("GID_LoadSample")
    clip = graph.save(graph.add("GetVideoComponents", video=sample[2]))
    tune = graph.add("SaveAudio", audio=sample[3], filename_prefix="tune")
    graph.run()
    for file, (image, mask) in saves.items():
        colors, painted = pixels(repo / "assets" / file)
        assert (graph.images(image)[0] == colors).all(), file
        assert (np.abs(graph.images(mask)[0, ..., 0].astype(int) - painted) <= 1).all(), file
        assert 0.05 < (painted > 127).mean() < 0.95
    assert graph.images(clip).shape == (75, 288, 512, 3)
    waveform, rate = gid.read_audio(graph.files(tune)[0])
    assert waveform.shape[1] / rate == pytest.approx(7.5, abs=0.1)


def test_what_is_connected_takes_the_place_of_the_sample(graph, photo, clip):
    alpha = np.zeros(SIZE)
    alpha[10:20] = 1
    own = graph.image(np.concatenate([photo, alpha[..., None]], -1))
    sample = graph.add("GID_LoadSample", image=own, mask=own[1], video=graph.video(clip))
    image, original = graph.save(sample), graph.save(own)
    mask = graph.save(graph.add("MaskToImage", mask=sample[1]))
    frames = graph.save(graph.add("GetVideoComponents", video=sample[2]))
    graph.run()
    assert (graph.images(image) == graph.images(original)).all()
    assert (graph.images(mask)[0, ..., 0] == np.round(255 * (1 - alpha))).all()
    assert graph.images(frames).shape == (40, 72, 128, 3)


def test_a_picture_needs_no_mask_unless_it_is_used(graph, photo):
    own = graph.image(photo)
    image = graph.save(graph.add("GID_LoadSample", image=own))
    graph.run()
    assert graph.images(image).shape == (1, *SIZE, 3)


@pytest.mark.parametrize("connected", [False, True], ids=["not connected", "not painted"])
def test_a_mask_that_is_used_and_missing_is_told(graph, photo, connected):
    own = graph.image(photo)
    inputs = {"mask": own[1]} if connected else {}
    sample = graph.add("GID_LoadSample", image=own, **inputs)
    graph.save(graph.add("MaskToImage", mask=sample[1]))
    with pytest.raises(NodeFailed, match="Connect the MASK of Load Image to mask, and paint one") as failure:
        graph.run()
    assert failure.value.node_type == "GID_LoadSample"


def test_fit_image_equals_the_librarys(graph):
    image = np.random.default_rng(1).random((75, 133, 4))
    own = graph.image(image)
    with_alpha = graph.add("JoinImageWithAlpha", image=own, alpha=own[1])
    saves = [graph.save(graph.add("GID_FitImage", image=with_alpha, longest_side=side)) for side in (64, 1280)]
    source = graph.save(with_alpha)
    graph.run()
    before = graph.images(source)
    for save, side in zip(saves, (64, 1280), strict=True):
        expected = gid.fit_image(before, side).numpy() * 255
        fitted = graph.images(save)
        assert fitted.shape == expected.shape == ((1, 36, 64, 4) if side == 64 else (1, 74, 132, 4))
        assert np.abs(fitted - expected).max() <= 3  # where alpha is low, rounding changes colors more
