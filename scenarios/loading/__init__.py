"""`assay load`: builds under load, and a search for every cent afterwards."""
