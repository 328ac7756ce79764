"""Forces on the modes of a spectral volume, the damped oscillators that respond to them, and long loops.

oscillators   damped oscillators: closed form, integrators, stability
modes         what the forces need to know about a volume
settings      settings that all forces share
poke_list     pokes as data and as JSON
poke          pull a point and release it (paper section 6)
wind          endless or looping wind
audio         motion that follows audio
long_loop     sway of any length that repeats only as a whole

Poke, wind and audio build on `modes` and `oscillators`; none of them imports another.
"""
