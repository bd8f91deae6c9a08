"""Postroad: a self-hosted mail platform."""
