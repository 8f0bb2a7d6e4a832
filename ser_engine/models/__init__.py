"""The systems that score emotions, one file each, all behind `base.Model`."""
