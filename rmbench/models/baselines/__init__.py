"""Baselines that every reward model should beat: functions of the text alone, not learned from preferences."""
