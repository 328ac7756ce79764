"""Pretrained networks that the metrics use. Nothing is downloaded.

pretrained_weights      weights found on disk by name
feature_networks        the networks whose weights are present, loaded when first used
frame_batches           work in chunks, and checks of the input
i3d                     I3D, the network of FVD and DTFVD
inception               Inception, the network of FID and KID
lpips                   LPIPS, a perceptual distance of images
efficientnet_features   EfficientNet-Lite0, for similar photos
"""
