"""Image and video files.

image_io   read and write images (OpenCV)
video_io   read and write videos (PyAV)
atomic     files that appear complete or not at all
"""
