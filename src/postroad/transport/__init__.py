"""How mail moves: accepting, routing, the queue, destinations, delivery, notices."""
