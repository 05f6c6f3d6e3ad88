"""What is off with a result, and a bundle for a bug report."""
