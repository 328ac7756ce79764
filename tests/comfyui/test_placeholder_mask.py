"""Load Image's black 64 x 64 mask is ignored where it stands for none; any other black mask is a mask."""

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed

SIZE = (48, 80)


@pytest.fixture
def moves(graph, make_volume):
    """moves({name: mask, ...}): for each mask, whether Amplify Motion and Softmax Splat Render let something move."""

    def run(masks: dict) -> dict[str, bool]:
        photo = graph.image(np.random.default_rng(0).random((*SIZE, 3)))
        volume = graph.volume(make_volume(SIZE))
        saves = {}
        for name, mask in masks.items():
            amplified = graph.add("GID_AmplifyMotion", spectral_volume=volume, mask=mask)
            kept = graph.add("GID_SaveSpectralVolume", spectral_volume=amplified, filename_prefix="masked/volume")
            frames = graph.add(
                "GID_SoftmaxSplatRender", image=photo, motion=volume, mask=mask, start_frame=20, num_frames=1
            )
            saves[name] = kept, graph.save(frames), graph.save(photo)
        graph.run()
        moving = {}
        for name, (kept, frame, still) in saves.items():
            path = graph.server.base / "output" / graph.text(kept).removesuffix(" [output]")
            amplified = bool(gid.SpectralVolume.load(path).coefficients.any())
            rendered = bool((graph.images(frame) != graph.images(still)).any())
            assert amplified == rendered, name
            moving[name] = amplified
        return moving

    return run


def test_only_load_images_mask_of_a_picture_without_alpha_is_ignored(graph, moves):
    plain, small = graph.image(np.ones((*SIZE, 3))), graph.image(np.ones((64, 64, 3)))
    opaque = graph.image(np.ones((64, 64, 4)))  # its alpha says: nothing is painted
    black = graph.add("SolidMask", value=0.0, width=64, height=64)
    black_picture = graph.image(np.zeros((64, 64, 3)))
    expected = {
        "Load Image": (plain[1], True),
        "Load Image, 64 x 64": (small[1], True),
        "grown": (graph.add("GrowMask", mask=plain[1], expand=3), True),
        "as an image and back": (
            graph.add("ImageToMask", image=graph.add("MaskToImage", mask=plain[1]), channel="red"),
            True,
        ),
        "Solid Mask": (black, False),
        "Solid Mask, grown": (graph.add("GrowMask", mask=black, expand=3), False),
        "an opaque picture with alpha": (opaque[1], False),
        "a black picture": (graph.add("ImageToMask", image=black_picture, channel="red"), False),
        "both": (
            graph.add("MaskComposite", destination=plain[1], source=black, x=0, y=0, operation="add"),
            False,
        ),
    }
    found = moves({name: mask for name, (mask, _) in expected.items()})
    assert found == {name: moving for name, (_, moving) in expected.items()}


def test_a_black_mask_of_64_pixels_keeps_a_prediction_still(graph):
    photo = np.random.default_rng(1).random((*SIZE, 3))
    source = graph.image(photo)
    model = graph.add("GID_LoadModel", model_name="tiny.safetensors")
    saves = []
    for mask in (source[1], graph.add("SolidMask", value=0.0, width=64, height=64)):
        predicted = graph.add("GID_PredictSpectralVolume", model=model, image=source, mask=mask, steps=1)
        saves.append(
            graph.add("GID_SaveSpectralVolume", spectral_volume=predicted, filename_prefix="masked/prediction")
        )
    graph.run()
    paths = [graph.server.base / "output" / graph.text(save).removesuffix(" [output]") for save in saves]
    free, still = (gid.SpectralVolume.load(path).coefficients for path in paths)
    assert free.any() and not still.any()


def test_black_roots_of_a_user_are_roots(graph):
    """Sway From Mask refuses them in words."""
    mask = graph.add("SolidMask", value=1.0, width=96, height=96)
    black = graph.add("SolidMask", value=0.0, width=64, height=64)
    plain = graph.image(np.ones((*SIZE, 3)))[1]
    nodes = [graph.add("GID_VolumeFromMask", mask=mask, roots=roots, grid=16) for roots in (plain, black)]
    saves = [graph.add("GID_SaveSpectralVolume", spectral_volume=node, filename_prefix="masked/sway") for node in nodes]
    del graph.prompt[saves[1].id]
    graph.run()
    path = graph.server.base / "output" / graph.text(saves[0]).removesuffix(" [output]")
    assert torch.count_nonzero(gid.SpectralVolume.load(path).coefficients)
    del graph.prompt[saves[0].id]
    graph.show(graph.add("GID_LoopMotion", spectral_volume=nodes[1])[2])
    with pytest.raises(NodeFailed, match="roots is black everywhere"):
        graph.run()
