"""What happened: the durable outbox, written in the transaction of the thing that happened."""
