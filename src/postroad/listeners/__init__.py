"""asyncio around the protocol engines: sockets, TLS, limits."""
