"""Taking mail: judging, routing, planning, list mail, submission."""
