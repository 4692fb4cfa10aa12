"""Connections straight through two routers that let nobody in: each side sends first, at the same moment."""
