"""Vectors, where the server has the extension and lets us add it: what needs them is off without."""

from django.db import migrations

_ADD = """
DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS vector;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'no extension named vector: %', SQLERRM;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial")]

    operations = [migrations.RunSQL(_ADD, migrations.RunSQL.noop)]
