"""``make soak``: EventSource clients on a running stack whose host is killed; nothing is lost or doubled."""
