"""This node's own pages and their API, behind the door; loaded by the first request for one."""
