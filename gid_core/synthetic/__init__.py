"""Random 2D scenes of swaying plants and cloth, with exact ground truth.

random_scene   random scenes: what grows where, and how it moves
cutout_scene   random scenes of cut-out plants over photographs
scene          layers with exact motion: geometry, ground truth, rendering
deformation    deformation fields of surfaces and beams
gust           a gust that travels over a scene
painting       textures of stems, leaves, cloth and foliage
backgrounds    static backgrounds
"""
