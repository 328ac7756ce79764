"""Image, video, audio and optical-flow files.

image_io        read and write images (OpenCV)
video_io        read and write videos (PyAV), and write animated images
video_probe     what a video file holds: its stream, frame rate and size
audio_io        read audio (PyAV)
frame_times     presentation times to an even frame rate
video_color     frames to sRGB images (ranges, matrices, HDR), and images to BT.709
animated_image  frames for WebP and GIF
flow_files      optical flow as .flo and OpenEXR files
atomic          files that appear complete or not at all
"""
