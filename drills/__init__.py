"""Programs that try the whole system: faults, load, races, hostile files, benchmarks. Not tests."""
