"""The app on Microsoft's durable extension and worker library: the drill functions-host."""
