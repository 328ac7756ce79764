"""The notes in the workflows: what one does, what to change, and how to use one's own files."""

OWN_PHOTO = """

**Your own photo:** select *Load Image*, which is muted, press Ctrl+M, and choose the photo. {what} *Fit Image* shrinks
large photos: a larger `longest_side` shows more detail and takes longer."""
PLANTS = "Plants, flowers, trees and hanging things move best."
ANYTHING = "Any picture works."

OWN_CLIP = """

**Your own clip:** select *Load Video*, which is muted, press Ctrl+M, and choose a clip from a static camera with 16
frames or more. *Fit Image* shrinks large frames: a larger `longest_side` shows more detail and takes longer."""

OWN_MASK = """

**Your own mask:** right-click *Load Image* and choose *Open in MaskEditor*. Paint {what}, and save."""

PHOTO = f"""## Make an endless loop from a photo

Press Run: dandelions sway in an endless loop. *Render Loop To Video* shows it, and *Save Video* saves it in the
folder `output/video`. {OWN_PHOTO.format(what=PLANTS)}

*Predict Spectral Volume* predicts the motion, and shows where it moves while it runs. A different `seed` gives a
different motion; an `amplitude` of 0.5 is calmer, 2 is livelier. *Loop Motion* sets the speed and the length. `mode`
*network* cleans the edges of large motion, in several times the time.

**An animated WebP**, or frames for other nodes: use *Softmax Splat Render* instead of *Render Loop To Video*, and
connect its `frames` to *Save Animated WEBP*."""

CINEMAGRAPH = f"""## Let only a part of a photo move

Press Run: the large dandelion of the sample moves. Everything else stays exactly as it is.
{OWN_PHOTO.format(what=PLANTS)}
{OWN_MASK.format(what="what may move, with its stem")}

The mask is used twice: *Predict Spectral Volume* adapts the motion to it, and *Render Loop To Video* keeps all pixels
outside of it."""

POKE = f"""## Poke a photo

1. Press Run. *Modal Force* then shows the photo live, in which a dandelion was pulled and released, twice.
2. Drag in it: pull a flower, hold it, release it. Press Run again to render the motion.
{OWN_PHOTO.format(what=PLANTS)} Press *Clear* in *Modal Force* before: the pokes belong to the sample.

`damping` sets how fast the swings die out, `speed` how fast things swing, `num_frames` how long the video is. The
model does not run again unless you change its node."""

WIND = f"""## Wind on a photo

Press Run. The video starts with the photo at rest; then the wind rises.
{OWN_PHOTO.format(what=PLANTS)}

After the first run *Wind Force* shows the photo live: drag in it to set the direction and the strength of the wind.
`gustiness` sets gusts and lulls, a different `seed` gives a different wind, and `loop` makes a seamless loop of any
length."""

SOUND = f"""## Let a photo dance to a sound

Press Run: the sample dances to a music box.
{OWN_PHOTO.format(what=PLANTS)}

**Your own sound:** add *Load Audio*, choose a file, and connect it to `audio` of *Load Sample*. The video is as long
as the sound (`num_frames` 0) and includes it.

Low notes drive slow motion, high notes drive fast motion; `release` and `damping` set how long the motion continues
after a beat."""

SWAY = f"""## Sway from a painted mask

Press Run: two flowers sway. This needs no model: *Sway From Mask* treats what is painted as an elastic object that is
fixed at its lowest end.
{OWN_PHOTO.format(what=ANYTHING)}
{OWN_MASK.format(what="the object that should sway, with its stem or support")}

Set `gravity` to *up* for hanging objects, or connect a second mask to `roots` to mark where the object is fixed. To
use wind, pokes or audio, replace *Loop Motion* with *Wind Force*, *Modal Force* or *Audio Force*."""

BRUSH = f"""## Paint motion into a picture

1. Press Run. The strokes in the live picture of *Sway From Mask* let the flowers of the sample sway.
2. Paint with *Move* what should sway, with its stem or support. It sways at once. *Pin* holds, an *Arrow* from an
   object sets in which direction and how far it sways, *Stiff* sets how stiff the next stroke is. Press Run again to
   render. {OWN_PHOTO.format(what=ANYTHING)} Press Run once to see it live, and *Clear* in *Sway From Mask*: the
   strokes belong to the sample.

You need no model. To use wind, pokes or audio, replace *Loop Motion* with *Wind Force*, *Modal Force* or *Audio
Force*."""

TRACKS = f"""## Move a picture along drawn tracks

Press Run: the tracks of a few points, here written as text, move two flowers of the sample. *Preview Image* shows
them. {OWN_PHOTO.format(what=ANYTHING)} Its tracks are others: connect the coordinates of a spline editor, or the
tracks that another pack followed in a video, to `tracks`, and set `width` and `height` to the size of the picture in
which they were drawn.
{OWN_MASK.format(what="what may move")}

*Motion To Tracks* is the way back: it follows points of any motion of this pack. Connect its `tracks` to *Wan Track
To Video*, and a video model moves the image in the same way."""

CLIP = f"""## Make an endless loop from a clip

Press Run: the first frame of the sample moves as the clip does, without an end.
{OWN_CLIP}

*Loop Motion* sets the speed and the length. *Softmax Splat Render* shows the loop, and *Save Video* saves it in the
folder `output/video`. *Preview Motion* shows where it moves and how fast; its X-t slice shows that the seam is
invisible."""

RESTYLE = f"""## Move another image like a clip

Press Run. The motion of a clip fits any image with the same outlines. Here the first frame is enlarged and turned
into a poster with few colors. Replace these two nodes with your own image-to-image, upscale or paint-over nodes.
{OWN_CLIP}

No new frames are generated: a single image moves, so nothing flickers, and the loop has no seam."""

AMPLIFY = f"""## Amplify the motion of a clip

Press Run: the pots of the sample, which hardly move, swing.
{OWN_CLIP}

`gain` is the factor of all motion: 3 triples it, 0.5 calms it, negative values mirror it. `slow_gain`, `middle_gain`
and `fast_gain` change its slow, middle and fast part only; 0 removes a part, such as the flutter of leaves. `limit`
keeps the largest motion in bounds. A mask limits it to a region. *Preview Motion* shows where it moves and how
fast."""

GENERATE = """## Generate an image, then animate it

Press Run: a sample moves, because the group that generates images is muted. To generate one:

1. Put a Stable Diffusion checkpoint, such as `v1-5-pruned-emaonly-fp16.safetensors`, into `models/checkpoints`, press
   R, and choose it in *Load Checkpoint*.
2. Right-click the title of the group and choose *Set Group Nodes to Always*.
3. Write a prompt with a plant, flowers, a tree or something that hangs, and press Run.

Any other nodes that make an image can take the place of the group: connect their IMAGE to `image` of *Load Sample*.
While nothing is connected there, or what is connected is muted, the sample moves. The motion of an image is predicted
anew for each image; set `control after generate` of *KSampler* to *fixed* to work on the motion."""

STICKER = """## An animated sticker with a transparent background

Press Run: *Save Animated WEBP* and *Save Animated PNG* write the sticker with its transparency in the folder
`output`.

**Your own sticker:** select *Load Image*, which is muted, press Ctrl+M, and choose a PNG with a transparent background.
*Fit Image* limits its size.

*Sway From Mask* makes everything sway that is not transparent, fixed at its lowest end; set `gravity` to *up* for
something that hangs. *Loop Motion* sets the length: the fewer frames, the smaller the files. To animate a photo's
motion with its transparency, connect *Predict Spectral Volume* instead."""

LONG = f"""## Make a long loop in which nothing repeats

Press Run: the sample sways for twenty seconds, and no swing is like the one before.
{OWN_PHOTO.format(what=PLANTS)} Here it is 1920, for Full HD.

*Loop Motion* repeats the same few seconds. *Long Loop* goes on for as many `seconds` as you like, without a seam: for
backgrounds and picture frames. `variation` sets how much the swings vary.

*Render Loop To Video* writes each frame as soon as it is made: memory does not grow with the length."""

PAGE = f"""## Make an interactive photo

Press Run. *Save Interactive Photo* shows the page: drag a flower and release it.
{OWN_PHOTO.format(what=PLANTS)}

The page is one HTML file of at most 3 MB in ComfyUI's folder `output/interactive`. It opens by a double click, also
on a phone and without a network, and can be embedded in a website. `title` and `alt_text` are for its visitors."""

FLOW = f"""## Write motion as optical flow

Press Run. *Motion To Flow* writes an EXR file for each frame to ComfyUI's folder `output/flow`: red is dx and green
is dy, in pixels. Compositing programs move layers and titles along with the photo by them; *flo* files are for
research code. {OWN_PHOTO.format(what=PLANTS)}

The video shows the flow in colors: the hue is the direction, white is still. `num_frames` 0 writes the whole loop."""
