"""The options: their types, their defaults, and the parser that joins them."""
