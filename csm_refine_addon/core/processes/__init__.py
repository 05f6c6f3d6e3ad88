"""Child processes: background Blenders, their limits, and the local service."""
