"""Objects as plain data: a class path and the constructor's arguments, from which an equal object is made.

`to_spec` writes what a configuration file holds, `{"class_path": ..., "init_args": ...}`: so a checkpoint
tells how its model was made, and the command line reads it like a file.
"""

from recurlight.spec.modules import sequential
from recurlight.spec.read import from_spec
from recurlight.spec.recorded import Recorded, arguments, settle
from recurlight.spec.write import Description, describe, to_spec

__all__ = ["Description", "Recorded", "arguments", "describe", "from_spec", "sequential", "settle", "to_spec"]
