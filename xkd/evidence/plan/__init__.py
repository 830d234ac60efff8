"""Plans: several runs in one file, in which a stage's checkpoint is named in another's config."""
