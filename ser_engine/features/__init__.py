"""What systems are fed with, computed from `CleanSpeech`."""

ACOUSTIC = ("acoustic94", "acoustic173", "acoustic371")
"""The modules here with `NAMES` and `extract`, which classical systems can ask for."""
