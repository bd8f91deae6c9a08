"""Tests of the control protocol's engines."""
