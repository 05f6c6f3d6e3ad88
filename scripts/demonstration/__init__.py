"""What the demo shows: its sample object and its picture."""
