"""Tables, sessions, migrations and the repositories over them."""
