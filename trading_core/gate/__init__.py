"""The gate: evidence in, outcomes per criterion, one verdict out. Pure."""
