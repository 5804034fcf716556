"""Questions and answers from files: texts and grids."""
