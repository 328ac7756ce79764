"""Training of the models, from real clips and from synthetic scenes with exact ground truth.

train_command       the command `gid train`
prepare_samples     motion samples from clips or from photos of still things
packed_corpus       motion samples from packed synthetic corpora
motion_samples      motion samples on disk: a photo and its spectral volume
motion_dataset      an endless dataset of augmented motion samples
augmentation        random transforms of a photo and its motion together
rendering_samples   rendering samples on disk: a photo, later frames and their flow
rendering_dataset   an endless dataset of crops of rendering samples
splits              training and held-out samples, and random seeds
train_options       the options of `gid train`
model_setup         the config and the first weights of a stage
stages              the stages: what each trains, and its loss
trainer             the training loop of all stages, on Accelerate
log_images          sample pictures for the log
"""
