"""Campaigns: customers, contacts, templates, tasks and what came of them. See docs/bulk-api.md."""
