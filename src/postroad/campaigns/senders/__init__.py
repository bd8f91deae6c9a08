"""Domains and mailboxes that customers send from."""
