"""How good a motion or a rendering is: metrics, baselines and the report (paper section 6).

evaluate_command       the command `gid evaluate`
runner                 every method on every clip; an interrupted run resumes
result_store           the results of a run on disk
scene_evaluation       every method on painted scenes, whose objects are known
summary                set distances with intervals, metrics, spectra, object curves
tables                 results as Markdown tables
markdown_report        results as one Markdown page
report                 results as one HTML page
charts                 line charts of that page
clip_folder            the clips of a folder, cut to one length and size
baselines              methods that animate a photo: the model, simple ones, and the true motion
clip_measures          all measures of one generated clip
motion_metrics         measures of motion that need no trained network
outline_metrics        motion near outlines, and of what is still
amplitude_metrics      how strong and how fast motion is
coherence              agreement of neighboring pixels and of neighboring frequencies
object_coherence       whether motion follows objects: coherence and unevenness by distance, affine motion, lattices
image_metrics          PSNR, SSIM and other measures of frames
frechet                distances between two sets of features
rendering_evaluation   renderers compared on the true flow of a clip
networks               pretrained networks that the metrics use
"""
