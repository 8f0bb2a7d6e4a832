"""From clean speech to words."""
