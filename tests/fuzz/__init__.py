"""Parsers under fuzzing: see `scripts/fuzz`."""
