"""The motion model: from one photo to a spectral volume, by latent diffusion (paper section 4).

config          sizes and settings of a model, as dataclasses that become JSON
normalization   spectral volumes to numbers of one size in every frequency, and back (eq. 4)
autoencoder     one frequency slice to a small latent picture, and back
efficientnet, encoder   the photo to features on the latents' grid
denoiser        the U-Net with frequency attention
checkpoint      all of it in one safetensors file
guidance        seamless loops (eq. 5)
upsampling      a coarse volume to the photo's own edges
pipeline        `GIDPipeline`: photo in, volume out
"""
