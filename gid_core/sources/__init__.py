"""Sources of spectral volumes other than a model: a clip or a painted mask.

video             the spectral volume of a clip (paper section 4.1)
optical_flow      dense trajectories of the pixels of a clip's first frame
motion_evidence   which of these pixels are seen to move
mask              the volume of a painted mask, whose regions sway as elastic sheets
mask_regions      the connected regions of a mask, where they are held, and their modes
stroke_list       strokes of the motion brush as JSON
motion_brush      what the strokes say of every pixel: what moves, what is held, how stiff it is
steering          motion along the brush's arrows
spring_mesh       an elastic sheet: springs on a grid, and its slowest modes
"""
