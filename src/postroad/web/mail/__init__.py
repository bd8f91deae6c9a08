"""The webmail."""
