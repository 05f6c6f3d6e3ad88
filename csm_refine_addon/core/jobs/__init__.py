"""What a job does next, and who does it: the states as data, and the engine, its worker and its followers."""
