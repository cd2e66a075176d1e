"""Tells the OpenAPI schema how the key of an app is presented."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class AppKeyScheme(OpenApiAuthenticationExtension):
    """A bearer token of the kind ``hp_app_…``."""

    target_class = "marketplace.catalog.authentication.AppKeyAuthentication"
    name = "appKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hp_app_…"}
