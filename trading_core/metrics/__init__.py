"""From artifacts and events to the observations that the gate judges."""
