"""Batched evaluation of networks, and the checks of their inputs."""

import pytest
import torch

from gid_core.evaluation.networks.efficientnet_features import EfficientNetLite0
from random_tensors import random_uniform


def test_results_do_not_depend_on_the_batch_size():
    network = EfficientNetLite0().eval()
    photos = random_uniform(5, 30, 40, 3)
    calls = []
    features = network.features(photos, batch_size=2, progress=lambda *at: calls.append(at))
    assert features.shape == (5, 1280) and calls == [(2, 5), (4, 5), (5, 5)]
    torch.testing.assert_close(network.features(iter(photos), batch_size=5), features)

    class Canceled(Exception):
        pass

    def cancel(done, total):
        raise Canceled

    with pytest.raises(Canceled):
        network.features(photos, progress=cancel)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (torch.zeros(2, 3, 8, 8), r"\[H, W, 3\]; got \[3, 8, 8\]"),
        (torch.zeros(8, 8, 3), "got"),
        (torch.zeros(0, 8, 8, 3), "no items to process|got"),
        ([], "no items to process"),
        (torch.full((1, 8, 8, 3), 255.0), "0 to 1|0..1; got"),
        (torch.full((1, 8, 8, 3), float("nan")), "0..1; got nan"),
        (torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "floating point"),
    ],
)
def test_invalid_images_are_refused(photos, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetLite0().eval().features(photos)
