"""CLIP's family: two towers, and a score of an image's embedding and a text's."""
