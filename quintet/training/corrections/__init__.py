"""CSV files that correct the labels or the groups of a feature table."""
