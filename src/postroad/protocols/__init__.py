"""Sans-I/O protocol engines: bytes in, events and bytes out."""
