"""EventSource clients on a running stack whose host is killed: no event is lost or repeated."""
