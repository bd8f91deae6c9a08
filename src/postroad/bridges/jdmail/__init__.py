"""JDMail's interfaces: signing on from a portal."""
