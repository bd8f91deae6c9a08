"""The demo company: accounts and a few weeks of mail, so that a first start shows a lived-in webmail.

Only data and its seeding. It goes through the same services as everything else; no SQL here.
"""
