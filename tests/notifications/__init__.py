"""Tests of who is told of new mail."""
