"""Where a run is kept: the event store (hash chain) and the artifact store (digests)."""
