"""The speakers of a recording."""
