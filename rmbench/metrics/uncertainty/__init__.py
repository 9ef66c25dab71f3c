"""Levels as weights of rows (`aggregate`), clustered samples and their draws (`sample`), intervals (`interval`), tests
of paired 0/1 outcomes (`discordance`) and the sign-flip test (`sign_flip`).
"""
