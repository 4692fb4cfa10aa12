"""Finding hosts anywhere: sealed records in OpenDHT's distributed hash table, by a node of our own or by proxies."""
