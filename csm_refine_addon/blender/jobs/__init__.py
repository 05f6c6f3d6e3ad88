"""Between the journal and the panel: the one timer, the worker it keeps, and what panels draw from."""
