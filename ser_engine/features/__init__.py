"""What systems are fed with, computed from `CleanSpeech`."""
