"""What travels inside a verified connection: who says what first, and the streams that share it."""
