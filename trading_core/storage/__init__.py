"""Event store and artifact store."""
