"""The commands of `gid`; `cli` parses their options and runs them.

command_options   options that several commands share
command_steps     what several commands do: predict, loop, render, show progress
photo_commands    animate, poke, wind, page: from a photo
volume_commands   extract, animate-clip, loop, render: from a clip or a stored volume
batch_command     batch: a folder of photos
batch_workers     the processes, or actors of Ray, that animate the photos of a folder
"""
