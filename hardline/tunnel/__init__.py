"""From a key hash to a live pipe (visitor) and from a live pipe to a local service (host)."""
