"""Rows of mail on its way: the queue as a source, settlement, the operator's view."""
