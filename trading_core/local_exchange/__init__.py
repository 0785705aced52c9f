"""Our own venue: one matching engine, in process on a virtual clock or behind a server."""
