"""Pages that are written, not typed, and what holds the pages of two languages together."""
