"""Images and frames of videos, decoded within bounds. Files are untrusted: any defect of one is a MediaError.

`images` opens a still image, `frames` says which frames of a video are looked at, `videos` decodes them, `changed`
makes the changes that a benchmark declares, `medium` gives what a message shows as pictures, and `data_uri` encodes one
for a request. Pillow and PyAV are imported where a file is opened.
"""

from rmbench.media.changed import changed
from rmbench.media.data_uri import TRANSPORT, data_uri, shrunk
from rmbench.media.files import DEFAULT_LIMITS, Limits, MediaError, digest
from rmbench.media.frames import FrameRule, Timing
from rmbench.media.images import open_image
from rmbench.media.medium import MEDIA_REJECTED, Medium, media_of, open_medium, pixels_of
from rmbench.media.videos import chosen_frames, read_frames, timing

__all__ = [
    "DEFAULT_LIMITS",
    "MEDIA_REJECTED",
    "TRANSPORT",
    "FrameRule",
    "Limits",
    "MediaError",
    "Medium",
    "Timing",
    "changed",
    "chosen_frames",
    "data_uri",
    "digest",
    "media_of",
    "open_image",
    "open_medium",
    "pixels_of",
    "read_frames",
    "shrunk",
    "timing",
]
