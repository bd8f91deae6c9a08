"""Where mail rests: content, folders, flags, search, quota, the change feed."""
