"""Connections carried for others, who meet here because one of them can be reached by nobody.

So far what is pure of it: docs/PROTOCOL.md, section 9.  No node speaks it yet.
"""
