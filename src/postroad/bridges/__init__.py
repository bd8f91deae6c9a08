"""The interfaces of other mail systems, spoken so that programs written for those work unchanged."""
