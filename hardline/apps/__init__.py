"""Applications of the program that the node runs in, answered on tunnel streams: no port, no socket."""
