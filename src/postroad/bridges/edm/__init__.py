"""The bulk-mail API V17.0: one module a script of the document. Our page edm-api.md has its rules."""
