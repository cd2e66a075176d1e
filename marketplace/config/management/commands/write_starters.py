"""Write the templates of apps as manifests into the package that authors install, for ``halfpenny init``."""

from typing import Any

from django.core.management.base import BaseCommand

from marketplace import sdk
from marketplace.catalog import manifest_files, manifests
from marketplace.catalog.templates_library import all_templates
from marketplace.config.paths import CHECKOUT

FOLDER = CHECKOUT / "marketplace" / "sdk" / "starters"


def starters() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {
        f"{template.key}.{form}": manifest_files.write(manifests.of_template(template), form=form)
        for template in all_templates()
        for form in manifest_files.MEDIA_TYPES
    }


class Command(BaseCommand):
    """For developers, after a template has changed."""

    help = "Write the templates of apps as manifests into the package for authors."

    def handle(self, *args: Any, **options: Any) -> None:
        FOLDER.mkdir(exist_ok=True)
        for name, text in starters().items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        self.stdout.write(f"{len(starters())} files, for halfpenny {sdk.__version__}")
