"""What a recording may be at most: channels, sample rates, and length."""

from __future__ import annotations

from ser_engine.errors import TooLarge
from ser_engine.settings import Settings, variable

# More channels are a microphone array or a damaged header. Below 8 kHz the formants of speech are lost; above 192 kHz
# no speech is recorded.
MAX_CHANNELS = 32
MIN_RATE, MAX_RATE = 8_000, 192_000
# A declared length counts only if the file has at least this many bytes per second, which every codec needs; otherwise
# the decoded samples are counted.
MIN_BYTES_PER_SECOND = 250

Format = tuple[str, str, int, int]  # container, codec, channels, rate


def check_format(format_: Format, declared_s: float, size: int, settings: Settings) -> None:
    """Raise TooLarge by the header alone: channels, rate, and a declared length that the size of the file allows."""
    _, _, channels, rate = format_
    if channels > MAX_CHANNELS:
        most = f"at most {MAX_CHANNELS} can be analyzed, so mix it down first"
        raise TooLarge(f"The recording has {channels} channels; {most}.")
    if not MIN_RATE <= rate <= MAX_RATE:
        allowed = f"{MIN_RATE // 1000} to {MAX_RATE // 1000} kHz"
        raise TooLarge(
            f"The recording has a sample rate of {rate / 1000:g} kHz; {allowed} can be analyzed, so convert it first."
        )
    if size >= declared_s * MIN_BYTES_PER_SECOND:
        check_seconds(declared_s, settings)


def check_seconds(seconds: float, settings: Settings) -> None:
    """Raise TooLarge for what lasts longer than the settings allow."""
    if seconds > settings.max_seconds:
        limit = settings.max_seconds
        units = {7200: f"{limit / 3600:.4g} hours", 120: f"{limit / 60:.4g} minutes", 0: f"{limit:.4g} seconds"}
        most = next(text for least, text in units.items() if limit >= least)
        raise TooLarge(
            f"The recording is longer than {most}, the most that can be analyzed ({variable('max_seconds')})."
        )
