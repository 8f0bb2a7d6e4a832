"""Models and training that only the systems of the reproduced papers need."""
