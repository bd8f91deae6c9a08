"""Tasks as they are asked for: adding, changing, listing; sending/ works on them."""
