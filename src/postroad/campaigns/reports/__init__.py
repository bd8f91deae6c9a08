"""What became of tasks: statistics and tracking, counted by SQL from the ledger and the hits."""
