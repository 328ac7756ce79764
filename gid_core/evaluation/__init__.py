"""How good a motion is: distances between sets of pictures or clips, and the networks they look through."""
