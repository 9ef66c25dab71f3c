"""Models that look at images: CLIP's family and ImageReward. They score an image or a video against its prompt."""
