"""Real servers, a whole stack and photos, shared by tests and drills."""
