"""The commands of the command line, their shared context, and their output."""
