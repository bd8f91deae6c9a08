"""What comes back: replies and bounces in one vocabulary, complaints, who is not written to any more."""
