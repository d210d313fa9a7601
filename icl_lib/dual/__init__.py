"""Room of the library; see its modules."""
