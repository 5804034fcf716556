"""How samples look: as text in the terminal, as pictures in a sheet."""
