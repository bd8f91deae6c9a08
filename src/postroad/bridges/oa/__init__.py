"""DBMail and AAMail: what their OA interfaces ask, put to the house's services; answers in their words."""
