"""Other processes: background Blenders, what they may do, and the local service."""
