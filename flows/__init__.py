"""Prefect flows and the command line. Importing this package sets Prefect's defaults before Prefect is imported."""

from flows.environment import set_defaults

set_defaults()
