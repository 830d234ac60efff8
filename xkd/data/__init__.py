"""From a manifest's rows to batches of paired samples. Nothing here knows a model."""
