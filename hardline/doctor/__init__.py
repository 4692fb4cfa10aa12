"""What keeps a node from working, found out and said in one sentence (docs/DOCTOR.md)."""
