"""Who exists: domains, accounts, aliases, lists, credentials, signing in."""
