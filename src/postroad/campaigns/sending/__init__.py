"""The sending engine: a task's run is expanded, claimed in chunks, rendered late, delivered, and accounted
for.
"""
