"""HTTP as far as it is the same for whoever speaks it: door, file service, cache."""
