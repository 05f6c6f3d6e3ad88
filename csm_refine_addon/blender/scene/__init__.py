"""Results in the open scene: placed, found again, shown or hidden, written out."""
