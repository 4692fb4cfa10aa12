"""Finding hosts: each way is a Finder, and none knows of the others."""
