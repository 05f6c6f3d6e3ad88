"""What is seen in the window besides the panels."""
