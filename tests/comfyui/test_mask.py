"""Sway From Mask: the node against the library, its notes and its refusals."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed, PromptRejected
from gid_core.rendering.live_packet import pack_without_photo

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


# ---- the motion brush ----

BRUSH = [
    gid.Stroke("move", ((0.3, 0.9), (0.32, 0.2, 0.5)), 0.1),
    gid.Stroke("move", ((0.7, 0.9), (0.7, 0.3)), 0.06, stiffness=3.0),
    gid.Stroke("pin", ((0.6, 0.3), (0.8, 0.3)), 0.04),
    gid.Stroke("arrow", ((0.3, 0.3), (0.33, 0.28))),
    gid.Stroke("erase", ((0.1, 0.5),), 0.05),
]
PHOTO = np.random.default_rng(0).integers(0, 256, (72, 96, 3)) / 255


def saved_volume(graph, node):
    save = graph.add("GID_SaveSpectralVolume", spectral_volume=node, filename_prefix="sway")
    name = graph.run().text(save).removesuffix(" [output]")
    return gid.SpectralVolume.load(graph.server.base / "output" / name)


@pytest.mark.parametrize("with_mask", [False, True])
def test_strokes_sent_by_the_api_render_as_in_the_library(graph, with_mask):
    mask = stems(70) if with_mask else None
    inputs = {"strokes": gid.format_strokes(BRUSH), "image": graph.image(PHOTO)[0], "grid": 48}
    if with_mask:
        inputs["mask"] = painted(graph, mask)
    made = saved_volume(graph, graph.add("GID_VolumeFromMask", **inputs))
    expected = gid.volume_from_mask(
        None if mask is None else torch.from_numpy(mask).float(), strokes=BRUSH, size=(72, 96), grid=48
    )
    scale = float(expected.coefficients.abs().max())
    assert float((made.coefficients - expected.coefficients).abs().max()) < 1e-3 * scale


def test_load_images_placeholder_mask_is_no_mask_beside_strokes(graph):
    image = graph.image(PHOTO)
    node = graph.add("GID_VolumeFromMask", strokes=gid.format_strokes(BRUSH), image=image[0], mask=image[1], grid=48)
    expected = gid.volume_from_mask(strokes=BRUSH, size=(72, 96), grid=48)
    assert torch.allclose(saved_volume(graph, node).coefficients, expected.coefficients, rtol=1e-3, atol=0.1)


def preview(server, **changes):
    """What the server answers to the page that shows what is painted: (status, content)."""
    return answer(server, preview_request(**changes))


def preview_request(**changes) -> bytes:
    request = {"strokes": gid.format_strokes(BRUSH), "size": [72, 96], "gravity": "down", "amplitude": 1.0}
    request |= {"base_frequency": 0.5, "seed": 0, "grid": 48, "digest": None, **changes}
    return json.dumps({name: value for name, value in request.items() if value != "missing"}).encode()


def answer(server, content: bytes, **headers):
    call = urllib.request.Request(f"{server.url}/gid/sway", content, headers, method="POST")
    try:
        with urllib.request.urlopen(call, timeout=600) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_preview_is_the_packet_of_a_run(graph):
    status, content = preview(graph.server)
    volume = gid.volume_from_mask(strokes=BRUSH, size=(72, 96), grid=48)
    assert status == 200 and content == pack_without_photo(volume, (72, 96))

    # After a run it knows what is connected.
    image, mask = graph.image(PHOTO)[0], stems(70)
    node = swaying(graph, mask, image=image, grid=48)
    graph.show(graph.add("GID_LoopMotion", spectral_volume=node)[2])
    graph.run()
    digest = graph.entry["outputs"][node.id]["gid_live"][0]["digest"]
    status, content = preview(graph.server, digest=digest)
    both = gid.volume_from_mask(torch.from_numpy(mask).float(), strokes=BRUSH, grid=48)
    assert status == 200 and content == pack_without_photo(both, (72, 96))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strokes": "["}, "The strokes are not valid JSON"),
        ({"strokes": ""}, "Nothing is painted that moves"),
        ({"strokes": 7}, "strokes must be JSON text"),
        ({"strokes": '[{"kind": "move", "points": []}]'}, "Stroke 1: points must be a list of 1 to 2000 points"),
        ({"strokes": '[{"kind": "move", "points": [[NaN, 0]]}]'}, "Stroke 1: points[0] x must be a number"),
        ({"size": [72]}, "size must be (height, width)"),
        ({"size": [72, 10**6]}, "width must be"),
        ({"gravity": "sideways"}, "gravity must be one of"),
        ({"amplitude": None}, "amplitude must be a finite number"),
        ({"grid": 10**6}, "grid must be"),
        ({"digest": "missing"}, "the request must be an object with"),
        ({"more": 1}, "the request must be an object with"),
    ],
)
def test_malformed_previews_are_refused_in_words(server, changes, message):
    status, content = preview(server, **changes)
    assert status == 400 and message in content.decode()


@pytest.mark.parametrize("content", [b"", b"[" * 10_000, b"\xff\xfe\xff", b"9" * 5000, b'{"strokes": "\xff"}'])
def test_previews_that_are_no_json_are_refused(server, content):
    assert answer(server, content)[0] == 400


def test_a_preview_is_json_whatever_its_header_says(server):
    headers = {"Content-Type": "text/plain; charset=nothing"}
    assert answer(server, preview_request(), **headers) == preview(server)


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ("[", "The strokes are not valid JSON"),
        ('[{"kind": "move", "points": [[NaN, 0]]}]', "Stroke 1: points[0] x must be a number from -1 to 2; got nan"),
        ('[{"kind": "move", "points": []}]', "Stroke 1: points must be a list of 1 to 2000 points"),
        ('[{"kind": "dance", "points": [[0, 0]]}]', "Stroke 1: kind must be one of move, pin, erase, arrow"),
    ],
)
def test_bad_strokes_are_refused_before_the_run(graph, strokes, message):
    node = graph.add("GID_VolumeFromMask", strokes=strokes, image=graph.image(PHOTO)[0])
    graph.show(graph.add("GID_LoopMotion", spectral_volume=node)[2])
    with pytest.raises(PromptRejected) as refused:
        graph.run()
    (error,) = refused.value.node_errors[node.id]["errors"]
    assert message in error["details"]


@pytest.mark.parametrize(
    ("strokes", "with_image", "message"),
    [
        ("", True, "Nothing is painted that moves"),
        ("[]", True, "Nothing is painted that moves"),
        (gid.format_strokes(BRUSH), False, "connect image"),
    ],
)
def test_strokes_that_cannot_sway(graph, strokes, with_image, message):
    image = {"image": graph.image(PHOTO)[0]} if with_image else {}
    node = graph.add("GID_VolumeFromMask", strokes=strokes, **image)
    graph.show(graph.add("GID_LoopMotion", spectral_volume=node)[2])
    with pytest.raises(NodeFailed) as failed:
        graph.run()
    assert failed.value.node_type == "GID_VolumeFromMask" and message in failed.value.exception_message
