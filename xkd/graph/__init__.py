"""What a config writes down: branches are nodes, terms are edges, and what they are made of."""
