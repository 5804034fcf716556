"""Commands beside those of the trainer, one file each."""
