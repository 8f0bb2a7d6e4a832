"""Readers of public corpora of emotional speech, one small file each."""
