"""Strategies: market view in, intents out."""
