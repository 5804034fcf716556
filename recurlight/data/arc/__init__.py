"""ARC: grids, tasks, augmentation, votes."""
