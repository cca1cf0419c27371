"""What one user's crowd of requests costs another user."""
