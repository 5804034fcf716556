"""Guards: what keeps a run from saving or losing what it should not."""
