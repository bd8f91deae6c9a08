"""Who signs in: principals, credentials, attempts, sessions, tickets."""
