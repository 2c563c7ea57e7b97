"""The page of a run: its story, and plates, wells, sites and cells to browse."""
