"""Write pages from documents and programs, and keep the pages of two languages together."""
