"""The engine of a cluster: Ray Data moves the addresses of recordings to actors, and their rows back."""
