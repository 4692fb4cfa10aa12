"""The relay for programs that were written for tx_tlsrelay, and know nothing of hardline."""
