"""Transcribe clean speech with Whisper."""
