"""Connections carried for others, who meet here because one of them can be reached by nobody."""
