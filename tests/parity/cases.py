"""Every fixture's name and its case."""

import importlib
import pkgutil

from tests.parity import sources

CASES = {
    name: case
    for module in pkgutil.iter_modules(sources.__path__)
    for name, case in importlib.import_module(
        f'{sources.__name__}.{module.name}'
    ).CASES.items()
}
