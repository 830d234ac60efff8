"""The page of a comparison: what its tables, charts and warnings say."""
