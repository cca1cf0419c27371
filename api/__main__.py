"""Print the OpenAPI document: ``python -m api``. The dashboard's types are generated from it."""

import json
import sys

from api.app import create_app

if __name__ == "__main__":
    sys.stdout.write(json.dumps(create_app().openapi(), indent=2) + "\n")
