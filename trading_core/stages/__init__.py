"""Where each stage of a rollout does its work, as plain functions."""
