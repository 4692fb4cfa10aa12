"""Directories: what is below them, listed and sent."""
