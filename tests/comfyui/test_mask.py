"""Sway From Mask: the node against the library, its notes and its refusals."""

import json

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed

POKE = {"x": 0.5, "y": 0.2, "dx": 0.08, "dy": -0.02, "time": 0.1}


def stems(*columns, size=(72, 96)) -> np.ndarray:
    """A mask of upright bars that end at the lower border."""
    mask = np.zeros(size)
    for column in columns:
        mask[10:, column : column + 8] = 1
    return mask


def painted(graph, mask):
    """Load Image's mask of an image that is transparent where `mask` is white."""
    photo = np.full((*mask.shape, 4), 0.5)
    photo[..., 3] = 1 - mask
    return graph.image(photo)[1]


def swaying(graph, mask, **inputs):
    mask = painted(graph, mask) if isinstance(mask, np.ndarray) else mask
    return graph.add("GID_VolumeFromMask", mask=mask, **inputs)


@pytest.mark.parametrize(
    ("widgets", "arguments"),
    [
        ({}, {}),
        ({"gravity": "up", "seed": 2**64 - 1}, {"gravity_degrees": -90.0, "seed": 2**64 - 1}),
        ({"gravity": "left", "amplitude": 2.0}, {"gravity_degrees": 180.0, "amplitude": 0.02}),
        ({"gravity": "right", "base_frequency": 1.0}, {"gravity_degrees": 0.0, "base_frequency": 1.0}),
        ({"grid": 48}, {"grid": 48}),
    ],
    ids=lambda value: "-".join(value),
)  # fmt: skip
def test_sway_from_mask_equals_the_librarys_volume_from_mask(graph, widgets, arguments):
    mask = stems(20, 60)
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=swaying(graph, mask, **widgets), filename_prefix="sway")
    name = graph.run().text(save).removesuffix(" [output]")
    made = gid.SpectralVolume.load(graph.server.base / "output" / name)
    expected = gid.volume_from_mask(torch.from_numpy(mask).float(), **arguments)
    assert made.size == (72, 96) and (made.fps, made.period) == (expected.fps, expected.period)
    scale = float(expected.coefficients.abs().max())
    assert float((made.coefficients - expected.coefficients).abs().max()) < 1e-3 * scale


def test_sway_from_mask_works_with_wind_pokes_and_loops(graph, tmp_path):
    volume = swaying(graph, stems(40), amplitude=3.0)
    photo = np.random.default_rng(0).integers(0, 256, (72, 96, 3)) / 255
    motions = [
        graph.add("GID_Wind", spectral_volume=volume, num_frames=40, strength=2.0),
        graph.add("GID_ModalForce", spectral_volume=volume, pokes=json.dumps([POKE]), num_frames=20),
        graph.add("GID_LoopMotion", spectral_volume=volume, num_frames=20),
    ]
    saves = [graph.render(photo, motion) for motion in motions]
    graph.run()
    for save in saves:
        frames = graph.images(save)
        assert (frames[0] == np.round(photo * 255)).all()
        changed = (frames != frames[0]).any((0, 3))
        assert changed[12:40, 40:48].mean() > 0.5 and not changed[:, :20].any()


def test_roots_fix_what_they_touch_and_the_rest_does_not_move(graph):
    roots = np.zeros((36, 48))  # of another size
    roots[:8, 8:16] = 1  # the head of the left bar
    node = swaying(graph, stems(20, 60), roots=painted(graph, roots))
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=node, filename_prefix="sway")
    text, _ = graph.run_and_listen()
    assert "The roots touch 1 of the 2 regions of the mask; the others stay still" in text[node.id]
    made = gid.SpectralVolume.load(graph.server.base / "output" / graph.text(save).removesuffix(" [output]"))
    motion = made.coefficients.abs().amax((0, 1, 2))
    assert (motion[:, 60:68] == 0).all() and (motion[:16, 16:32] == 0).all() and (motion[40:, 20:28] > 0).all()


def test_load_images_placeholder_mask_is_ignored_as_roots(graph):
    mask = painted(graph, stems(40))
    saves = [
        graph.add("GID_SaveSpectralVolume", spectral_volume=swaying(graph, mask, **extra), filename_prefix="sway")
        for extra in ({}, {"roots": graph.image(np.zeros((72, 96, 3)))[1]})
    ]
    graph.run()
    first, second = (
        gid.SpectralVolume.load(graph.server.base / "output" / graph.text(save).removesuffix(" [output]"))
        for save in saves
    )
    assert torch.equal(first.coefficients, second.coefficients)


def test_a_too_large_amplitude_gives_a_note_on_the_node(graph):
    node = swaying(graph, stems(40), amplitude=20.0)
    graph.show(graph.add("GID_LoopMotion", spectral_volume=node)[2])
    text, _ = graph.run_and_listen()
    assert " % of the image moves\n" in text[node.id] and "Lower the amplitude" in text[node.id]


@pytest.mark.parametrize("case", ["black", "no alpha", "beside", "all"])
def test_masks_that_cannot_sway(graph, case):
    message = {
        "black": "The mask is black everywhere; paint white what is to move.",
        "no alpha": "The mask is black everywhere",
        "beside": "The roots touch no region of the mask",
        "all": "The roots hold all of the mask",
    }[case]
    mask = stems(40) if case in ("beside", "all") else np.zeros((72, 96))
    roots = {"beside": stems(5), "all": np.ones((72, 96))}.get(case)
    source = graph.image(np.zeros((72, 96, 3)))[1] if case == "no alpha" else mask
    node = swaying(graph, source, **({} if roots is None else {"roots": painted(graph, roots)}))
    graph.show(graph.add("GID_LoopMotion", spectral_volume=node)[2])
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert failed.value.node_type == "GID_VolumeFromMask" and message in failed.value.exception_message
