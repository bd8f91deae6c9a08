"""Who is told of new mail: webhooks and new-mail files, from the durable outbox."""
