"""Connections carried for others, who meet here because one of them can be reached by nobody.

The relay itself (server.py and what it is made of), a host that is reached by relays (uses.py, client.py), and the
relays that a visitor asks (finder.py).  Source: docs/PROTOCOL.md, section 9.
"""
