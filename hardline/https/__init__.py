"""HTTPS end to end: plain browsers reach a service of this host by a name of its owner's, and a relay reads nothing."""
