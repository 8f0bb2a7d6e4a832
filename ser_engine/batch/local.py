"""The engine of one machine: a worker process for each core, replaced when it dies."""
