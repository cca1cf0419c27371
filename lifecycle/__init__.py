"""A job's life outside its orchestration: start, resume, cancel, reconcile, retain, take in uploads."""
