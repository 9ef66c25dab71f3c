"""A checkpoint's folder on disk, read and loaded into memory, with nothing dropped unseen."""
