"""The emotions, under one name each."""

NEUTRAL, CALM, HAPPY, SAD = "neutral", "calm", "happy", "sad"
ANGRY, FEARFUL, DISGUST, SURPRISED = "angry", "fearful", "disgust", "surprised"

# RAVDESS's own order (its codes 01 to 08); every probability vector of the default model follows it.
EMOTIONS: tuple[str, ...] = (NEUTRAL, CALM, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)
