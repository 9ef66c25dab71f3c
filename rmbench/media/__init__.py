"""Images and frames of videos, decoded within bounds. Files are untrusted: any defect of one is a MediaError.

`images` opens a still image, `frames` says which frames of a video are looked at, `videos` decodes them. Pillow and
PyAV are imported where a file is opened.
"""

from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, digest
from rmbench.media.frames import FrameRule, Timing
from rmbench.media.images import open_image
from rmbench.media.videos import chosen_frames, read_frames, timing

__all__ = [
    "DEFAULT_LIMITS",
    "FrameRule",
    "Limits",
    "MediaError",
    "Timing",
    "chosen_frames",
    "digest",
    "open_image",
    "read_frames",
    "timing",
]
