"""Tells the OpenAPI schema how a personal key is presented."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class PersonalKeyScheme(OpenApiAuthenticationExtension):
    """A bearer token of the kind ``hp_pat_…``."""

    target_class = "marketplace.accounts.authentication.PersonalKeyAuthentication"
    name = "personalKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hp_pat_…"}
