"""Answers on disk: found, put in their place, thrown out."""
