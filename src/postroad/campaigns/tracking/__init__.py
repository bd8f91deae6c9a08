"""What readers do with the mails of a run: marks in the mail, tokens, hits, who unsubscribes."""
