"""Bounding boxes, origins and rotations of objects in the scene."""
