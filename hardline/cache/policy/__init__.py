"""What a shared cache may keep and use again: RFC 9111, without I/O."""
