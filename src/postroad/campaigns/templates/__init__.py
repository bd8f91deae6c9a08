"""Templates: what they hold, the language they are written in, and what is checked."""
