from pathlib import Path

from django.db import migrations, models

from recognizer.predictions import migrations as ours

NEWEST = sorted(path.stem for path in Path(ours.__file__).parent.glob("0*.py"))[-1]


class AlterPrediction(migrations.AlterField):
    """A field of another app. SQLite copies the whole table for it, PostgreSQL locks it."""

    def state_forwards(self, app_label, state):
        super().state_forwards("predictions", state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        super().database_forwards("predictions", schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        super().database_backwards("predictions", schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [("predictions", NEWEST)]
    operations = [AlterPrediction("prediction", "error_code", models.CharField(blank=True, max_length=60))]
