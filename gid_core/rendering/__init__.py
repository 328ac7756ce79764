"""From a photo and a motion to frames (paper section 5).

render              frames of a motion, a few at a time
render_plan         whole or in tiles, and how many frames at once
frame_range         which frames of which clips a render makes
fast_renderer       the renderer without a network
fused_splat         the same compiled, on the CPU
splat_kernel        its kernel; needs Numba
numba_kernels       kernels that Numba compiles, and what happens without it
renderer            the interface of renderers; large photos in tiles
frame_memory        the memory that frames need
host_copies         frames from an accelerator to the host
video_output        frames of a motion into a video file
warping             a photo warped along displacement fields, with its holes filled
outlines            how far motion reaches beyond outlines, and the background behind them
softmax_splatting   forward warping by softmax splatting
visualization       pictures of motion: map, spectrum, X-t slice, flow wheel
motion_flow         optical flow of a motion, from the photo or from frame to frame
live_packet         photo and volume in one binary packet for the live view
interactive_page    an interactive photo: a web page in one file
script_bundle       the scripts of js/ joined for that page
"""
