"""The commands of the control protocol over our directory (interface page ctrl-protocol.md, section 6)."""
