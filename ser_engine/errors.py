"""Errors of the engine: `str(error)` is the sentence that a person sees."""


class SerError(Exception):
    """Base of every error that the engine raises on purpose; its text is shown to people unchanged."""


class InvalidAudio(SerError):
    """The input is not a recording that can be decoded: empty, damaged, another kind of file, many NaN samples."""


class NotAudio(InvalidAudio):
    """The input is another kind of file, or a film without sound; in a folder it is skipped."""


class TooLarge(SerError):
    """The recording exceeds a limit (bytes, seconds, channels, sample rate)."""


class NoSpeech(SerError):
    """The recording contains too little speech: `speech_s` seconds."""

    def __init__(self, message: str, speech_s: float = 0.0) -> None:
        super().__init__(message)
        self.speech_s = speech_s


class WeightsUnavailable(SerError):
    """Weights are missing, damaged, or may not be downloaded; the text names the remedy."""


class InvalidSettings(SerError):
    """A setting or a training configuration has an invalid value."""


class CorpusError(SerError):
    """A corpus folder, a file name in it or a manifest row cannot be parsed."""


class InvalidRecord(SerError):
    """A file of the results folder is missing, damaged, or not a record."""


class Busy(SerError):
    """More is waiting than can be taken; the same may be asked again later."""
