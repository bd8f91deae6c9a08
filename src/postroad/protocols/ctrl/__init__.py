"""The control protocol on TCP 6017 and 6018, both sides, without I/O (interface page ctrl-protocol.md)."""
