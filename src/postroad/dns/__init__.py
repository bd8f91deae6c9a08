"""Look-ups in the DNS, with a cache by TTL."""
