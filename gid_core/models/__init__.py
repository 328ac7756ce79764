"""From one photo to a spectral volume by latent diffusion (paper section 4), and the rendering network.

config              sizes and settings of a model, as dataclasses that become JSON
motion_model        all networks of a model as one module
normalization       volumes scaled to one size in every frequency, and back (eq. 4)
unet_blocks         residual blocks, attention and changes of size
autoencoder         one frequency slice to latents, and back
autoencoder_kl      its networks
efficientnet        EfficientNet-Lite0, the backbone of the image encoder
image_encoder       the photo to features on the grid of the latents
denoiser            the U-Net with frequency attention
affinity_network    which neighboring cells move as one, from the photo
displacement_network  how far each cell is expected to move, in detail
noise_schedule      how much noise latents have at each timestep
noise               noise that neighboring frequencies and the cells of an object share
sampling            latents from noise, step by step
solvers             the steps of UniPC and DPM-Solver++
loop_guidance       motion that loops without a jump (eq. 5)
seam                the seam of a loop as linear algebra
motion_refinement   samples to motion that follows the photo's objects
amplitude           how far a photo's motion goes
upsampling          a coarse volume upsampled along the outlines of the photo
pipeline            `GIDPipeline`: photo in, volume out
rendering_network   frames with clean edges from a photo and a motion (section 5)
frame_edits         what it sees of a frame, and how its output edits the frame
fused_network       the rendering network compiled, on the CPU
edit_kernel         its kernels; need Numba
checkpoint          a model in one safetensors file
checkpoint_v1       checkpoints of version 1 under today's names
"""
