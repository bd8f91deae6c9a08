"""Pages: webmail, campaign console, admin; Jinja2 and htmx over services."""
