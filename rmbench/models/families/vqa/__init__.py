"""Language models that see, asked about an image or a video: the probability of an answer is the reward."""
