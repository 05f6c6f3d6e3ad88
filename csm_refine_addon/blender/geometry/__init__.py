"""Objects in the scene -> their box, origin and extent, in numbers."""
