"""Models and training that only the papers' own systems need."""
