"""SMTP engines, server and client (RFC 5321 and its extensions). Sans-I/O."""
