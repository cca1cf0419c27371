"""The GPU service's settings as a Markdown table: ``python -m gpu_container.settings_table``."""

from __future__ import annotations

import sys

from gpu_container.settings import GpuSettings
from imagery.settings_table import settings_table

if __name__ == "__main__":
    sys.stdout.write(settings_table(GpuSettings) + "\n")
