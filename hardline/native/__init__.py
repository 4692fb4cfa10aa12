"""The part in C, and what it and Python count together."""
