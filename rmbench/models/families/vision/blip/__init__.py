"""BLIP-based scorers: an image and a text read together by cross attention. ImageReward is one."""
