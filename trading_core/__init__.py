"""The shared library: everything that trades, measures and judges. Knows no Prefect and no pandas."""
