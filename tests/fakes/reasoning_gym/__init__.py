"""A library of the same form as reasoning_gym, with a few tiny tasks: what the tests see of it."""

from .factory import DATASETS


def create_dataset(name, **config):
    kind, settings = DATASETS[name]
    settings = settings(**config)
    settings.validate()
    return kind(settings)
