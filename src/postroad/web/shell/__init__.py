"""What every page stands in: the visit, languages, security, assets, errors."""
