"""Bringing jobs to other servers: sites, limits, in-flight, connections, attempts. Knows no rows."""
