"""On PYTHONPATH while basicsr and realesrgan are built: their setup.py needs what Python had until 3.12.

It executes its version file and reads the result from ``locals()``, which is a snapshot since 3.13 (PEP 667).
"""

import builtins
import sys
from typing import Any

_execute = builtins.exec


def _exec_into_the_caller(code: Any, *scopes: Any, **more: Any) -> None:
    frame = sys._getframe(1)
    _execute(code, *(scopes or (frame.f_globals, frame.f_locals)), **more)


builtins.exec = _exec_into_the_caller
