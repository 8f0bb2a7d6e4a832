"""A worker process: decode recordings ahead, analyze them in batches, return rows."""
