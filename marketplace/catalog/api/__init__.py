"""The management API of the catalogue, one module for each resource."""

ROUTES: list[tuple[str, type, str]] = []
