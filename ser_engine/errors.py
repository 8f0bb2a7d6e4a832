"""What can go wrong, in words: `str(error)` is the one sentence that a person sees."""


class SerError(Exception):
    """Base of every error that the engine raises on purpose; its text is shown to people as it is."""


class InvalidAudio(SerError):
    """The bytes are not a recording that can be decoded: empty, damaged, another kind of file, NaN samples."""


class TooLarge(SerError):
    """The recording is over a limit of the settings (bytes, seconds, channels, sample rate)."""


class NoSpeech(SerError):
    """The recording decodes, but holds too little speech to say anything about it: `speech_s` seconds."""

    def __init__(self, message: str, speech_s: float = 0.0) -> None:
        super().__init__(message)
        self.speech_s = speech_s


class WeightsUnavailable(SerError):
    """Weights are missing, damaged, or may not be fetched; the text says what to do about it."""


class InvalidSettings(SerError):
    """A setting or a training configuration has a value that means nothing."""


class CorpusError(SerError):
    """A corpus folder, a file name in it or a manifest row cannot be understood."""


class InvalidRecord(SerError):
    """A file of the results folder is missing, damaged, or not a record."""
