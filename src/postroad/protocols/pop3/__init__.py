"""POP3 without sockets: bytes in, requests and bytes out."""
