"""Points followed over time: tracks for video models and other packs, and motion from such tracks.

track_list      `Tracks`, and the JSON that video models and spline editors read
photo_view      the part of a photo that a picture of another size and proportions shows
point_choice    which points to follow: a grid, or more where a mask is white
following       tracks of points in a motion
spreading       motion of all pixels from the tracks of a few points
track_picture   tracks drawn over the photo
"""
