"""What sends log lines, spans and metrics to Application Insights."""
