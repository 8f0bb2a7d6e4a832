"""From the bytes of a recording to clean speech."""
