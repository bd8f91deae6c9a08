"""What addresses mean: domains, accounts, aliases, lists, the resolver."""
