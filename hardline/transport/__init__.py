"""Pipes to other machines: TCP, and TLS spoken over it.  Nothing here knows what travels inside."""
