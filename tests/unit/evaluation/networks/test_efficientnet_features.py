"""EfficientNet-Lite0 features against the package that its weights come from."""

import pytest
import torch

from gid_core.evaluation.networks.efficientnet_features import EfficientNetLite0, efficientnet_extractor
from network_inputs import waves


def test_efficientnet_has_the_features_of_its_package(require_weights):
    """Values of efficientnet-lite-pytorch 0.1.0, averaged over its last layer."""
    require_weights("efficientnet-lite0")
    network = EfficientNetLite0.from_weights()
    with torch.no_grad():
        features = network(waves(1, 224, 224).movedim(-1, 1))[0]
    expected = torch.tensor([0.0, 0.0200629, 0.1218796, 0.5239655])
    torch.testing.assert_close(features[[0, 4, 7, 11]], expected, rtol=0, atol=1e-4)
    assert int(features.argmax()) == 31 and float(features.norm()) == pytest.approx(17.4875, abs=1e-3)


def test_crops_of_one_photo_are_closer_than_other_photos(require_weights):
    require_weights("efficientnet-lite0")
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    photos = [torch.from_numpy(photo.copy()).float() / 255 for photo in datasets.load_sample_images().images]
    crops = [crop for photo in photos for crop in (photo[:360, :520], photo[60:, 110:], photo.flip(1))]
    extract = efficientnet_extractor()
    features = extract(crops, batch_size=4)
    assert features.shape == (6, 1280) and bool((features >= 0).all())
    assert torch.equal(extract(crops, batch_size=4), features)
    distances = torch.cdist(features, features)
    same = torch.eye(2).repeat_interleave(3, 0).repeat_interleave(3, 1).bool()
    assert 1.5 * float(distances[same].max()) < float(distances[~same].min())
