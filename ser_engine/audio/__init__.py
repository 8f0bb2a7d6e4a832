"""Decode recordings, detect and clean their speech, and measure their quality."""
