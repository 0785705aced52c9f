"""The operator's room: one HTTP server on loopback that shows the accounts, lowers risk and closes positions."""
