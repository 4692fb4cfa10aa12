"""What makes a node itself, in one file that only its passphrase opens."""
