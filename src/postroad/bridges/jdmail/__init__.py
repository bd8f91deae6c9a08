"""JDMail's interfaces: signing on from a portal, the control server, `ctrlclnt`."""
