"""How runs are done: one, or many at a time."""
