"""The notes in the templates of build_workflows.py: what to do, in Markdown."""

LOOP_NOTE = """## Make an endless loop from a clip
1. **Load Video**: choose a clip from a static camera, with 16 frames or more: leaves, flowers, water, hair, a candle.
2. Queue.

*Amplify Motion* makes the motion larger or smaller; *Loop Motion* sets its speed and length.
*Softmax Splat Render* shows the finished loop, and *Save Video* saves it.
*Preview Motion* shows where it moves and how fast. Its X-t slice shows that the seam is invisible."""

PHOTO_NOTE = """## Make an endless loop from a photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

You need no video: *Predict Spectral Volume* predicts the motion from the photo, and shows where it moves while it
runs. A different `seed` gives a different motion; `amplitude` sets how large it is. To limit the motion to a region,
paint a mask in *Load Image* and connect it to `mask`.

*Loop Motion* sets the speed. *Render Loop To Video* shows the loop, and *Save Video* saves it. The model's rendering
network draws the frames; set `mode` to *fast splat* while you search for a motion. A photo of any size fits into
memory; one of many megapixels takes long, so resize it first if you do not need its size. For frames that other nodes
take, use *Softmax Splat Render* instead."""

POKE_NOTE = """## Poke a photo
1. **Load Image**: choose a photo of a plant, flowers, or a hanging object. (`flowers.jpg` is in this pack's folder
   `assets`.)
2. Queue once. *Modal Force* then shows the photo live.
3. Drag in it: pull a flower, hold it, release it. Queue again to render the motion.

The workflow contains two pokes; *Clear* in the node removes them. `damping` sets how fast the swings die out, `speed`
how fast things swing, `num_frames` how long the video is. The model does not run again unless you change its node."""

WIND_NOTE = """## Wind on a photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

The video starts with the photo at rest; then the wind rises. After the first run *Wind Force* shows the photo live:
drag in it to set the direction and the strength of the wind. `gustiness` sets gusts and lulls, a different `seed`
gives a different wind, and `loop` makes a seamless loop of any length."""

AUDIO_NOTE = """## Make a photo dance to audio
1. **Load Image**: choose a photo of a plant, flowers, or a hanging object.
2. **Load Audio**: choose an audio file. (`flowers.jpg` and `tune.mp3` are in this pack's folder `assets`.)
3. Queue.

Low notes drive slow motion, high notes drive fast motion; `release` and `damping` set how long the motion continues
after a beat. The video is as long as the audio (`num_frames` 0) and includes it as its sound track."""

SWAY_NOTE = """## Sway from a painted mask
1. **Load Image**: choose any image. (`flowers_painted.png` is in this pack's folder `assets`; its mask covers two
   flowers.)
2. Right-click Load Image and choose *Open in MaskEditor*. Paint the object that should sway, with its stem or support.
3. Queue.

You need no model: *Sway From Mask* treats the painted region as an elastic object that is fixed at its lowest end.
Set `gravity` to *up* for hanging objects, or connect a second mask to `roots` to mark where the object is fixed. To
use wind, pokes or audio, replace *Loop Motion* with *Wind Force*, *Modal Force* or *Audio Force*."""

BRUSH_NOTE = """## Paint motion into a picture
1. **Load Image**: choose any image. (`flowers.jpg` is in this pack's folder `assets`.)
2. In the live picture of *Sway From Mask*, paint with *Move* what should sway, with its stem or support. It sways at
   once. *Pin* holds, an *Arrow* from an object sets in which direction and how far it sways, *Stiff* sets how stiff the
   next stroke is.
3. Queue to render the loop.

The workflow contains strokes for the flowers; *Clear* in the node removes them. You need no model. To use wind, pokes
or audio, replace *Loop Motion* with *Wind Force*, *Modal Force* or *Audio Force*."""

TRACKS_NOTE = """## Move a picture along drawn tracks
1. **Load Image**: choose any image. (`flowers_painted.png` is in this pack's folder `assets`; its mask covers two
   flowers.)
2. Queue.

*Tracks To Motion* moves the whole image by the tracks of a few points, here written as text. Connect the coordinates of
a spline editor, or the tracks that another pack followed in a video, to `tracks`, and set `width` and `height` to the
size of the picture in which they were drawn. Motion spreads along objects; the mask says what may move.

*Motion To Tracks* is the way back: it follows points of any motion of this pack. Connect its `tracks` to *Wan Track To
Video*, and a video model moves the image in the same way. *Preview Image* shows the tracks."""

LONG_NOTE = """## Make a long loop in which nothing repeats
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

*Loop Motion* repeats the same few seconds. *Long Loop* goes on for as many `seconds` as you like, without a seam, and
no swing is like the one before: for backgrounds and picture frames. `variation` sets how much the swings vary.

*Render Loop To Video* writes each frame as soon as it is made: memory does not grow with the length. Time does, so
search for a motion with a few seconds and `mode` *fast splat*, then render the long one."""

PAGE_NOTE = """## Make an interactive photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue. *Save Interactive Photo* shows the page: drag a flower and release it.

The page is one HTML file of at most 3 MB in ComfyUI's folder `output/interactive`. It opens by a double click, also on
a phone and without a network, and can be embedded in a website. `title` and `alt_text` are for its visitors."""

FLOW_NOTE = """## Write motion as optical flow
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

*Motion To Flow* writes an EXR file for each frame to ComfyUI's folder `output/flow`: red is dx and green is dy, in
pixels. Compositing programs move layers and titles along with the photo by them; *flo* files are for research code.

The video shows the flow in colors: the hue is the direction, white is still. `num_frames` 0 writes the whole loop."""

RESTYLE_NOTE = """## Move another image like a clip
The motion of a clip fits any image with the same outlines. Here the first frame is upscaled and turned into a poster
with a few colors. Replace these two nodes with your own image-to-image, upscale or paint-over nodes.

No new frames are generated: a single image moves, so nothing flickers, and the loop has no seam."""
