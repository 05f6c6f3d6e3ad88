"""What scripts/test.py is made of: runs, and the report about them."""
