"""Stands before the package of this name, which takes more than a second of a core to import.

Whatever has to do with notebooks imports it, through jsonschema, to check IRIs: a dozen servers,
kernels and workers of the tests would each wait for it. jsonschema goes on without, and no IRI is
checked here.
"""

raise ImportError("left out of the tests: it is slow to import, and nothing asks for it")
