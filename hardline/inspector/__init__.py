"""Requests and answers of one service as they pass, for its owner, while he looks."""
