"""Contact categories, contacts, subscriptions and the import of files."""
