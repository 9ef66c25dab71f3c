"""MPS: CLIP's towers token by token, and a network in which an image reads the words that a condition asks for."""
