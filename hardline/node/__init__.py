"""A whole node: who exists in it, what it offers, what can be asked of it."""
