"""Indexes oldest first, without what has no value, and no index of a column with which another one begins.

Where SQLite finds two indexes equally good it takes the one that was created last: so the order here matters.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TO_REVIEW = models.Q(('score__isnull', False), ('verdict', None))
INDEXES = [
    models.Index(fields=['created_at', 'id'], name='prediction_newest'),
    models.Index(fields=['version', 'created_at'], name='prediction_by_version', condition=models.Q(('version__isnull', False))),
    models.Index(fields=['score'], name='prediction_by_score'),
    models.Index(fields=['lease_until'], name='prediction_leased', condition=models.Q(('status', 'running'))),
    models.Index(fields=['model', 'created_at'], name='prediction_by_model'),
    models.Index(fields=['status', 'created_at', 'id'], name='prediction_by_status'),
    models.Index(fields=['model', 'status', 'created_at', 'id'], name='prediction_answers'),
    models.Index(fields=['known', 'created_at', 'id'], name='prediction_by_known', condition=models.Q(('score__isnull', False))),
    models.Index(fields=['label', 'created_at', 'score'], name='prediction_by_label'),
    models.Index(fields=['verdict', 'created_at', 'id'], name='prediction_by_verdict', condition=models.Q(('verdict__isnull', False))),
    models.Index(fields=['created_at', 'id'], name='to_review_newest', condition=TO_REVIEW),
    models.Index(fields=['model', 'created_at', 'id', 'score', 'verdict'], name='to_review_by_model', condition=TO_REVIEW),
    models.Index(fields=['model', 'label', '-created_at'], name='to_review_by_label', condition=TO_REVIEW),
    models.Index(fields=['user', 'created_at', 'id'], name='prediction_of_user', condition=models.Q(('user__isnull', False))),
    models.Index(fields=['visitor', 'created_at', 'id'], name='prediction_of_visitor', condition=models.Q(('visitor__isnull', False))),
]
NOT_ALONE = [('Prediction', 'model'), ('Prediction', 'user'), ('Prediction', 'version'), ('UploadedImage', 'user')]


def drop_indexes(apps, schema_editor):
    """What AlterField would do on SQLite by copying the table once for each of them."""
    introspection = schema_editor.connection.introspection
    for model_name, field_name in NOT_ALONE:
        model = apps.get_model('predictions', model_name)
        column = model._meta.get_field(field_name).column
        with schema_editor.connection.cursor() as cursor:
            constraints = introspection.get_constraints(cursor, model._meta.db_table)
        for name, constraint in constraints.items():
            if constraint['index'] and constraint['columns'] == [column]:
                schema_editor.execute(f'DROP INDEX {schema_editor.quote_name(name)}')


def create_indexes(apps, schema_editor):
    for model_name, field_name in NOT_ALONE:
        model = apps.get_model('predictions', model_name)
        schema_editor.execute(schema_editor._create_index_sql(model, fields=[model._meta.get_field(field_name)]))


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0008_what_waits_for_review'),
        ('registry', '0005_engine_timings'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        *(migrations.RemoveIndex(model_name='prediction', name=index.name) for index in INDEXES),
        migrations.RemoveIndex(model_name='uploadedimage', name='uploaded_newest'),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_indexes, create_indexes)],
            state_operations=[
                migrations.AlterField(
                    model_name='prediction',
                    name='model',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='predictions', to='registry.registeredmodel'),
                ),
                migrations.AlterField(
                    model_name='prediction',
                    name='user',
                    field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='predictions', to=settings.AUTH_USER_MODEL),
                ),
                migrations.AlterField(
                    model_name='prediction',
                    name='version',
                    field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='predictions', to='registry.modelversion'),
                ),
                migrations.AlterField(
                    model_name='uploadedimage',
                    name='user',
                    field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
                ),
            ],
        ),
        *(migrations.AddIndex(model_name='prediction', index=index) for index in INDEXES),
        migrations.AddIndex(
            model_name='uploadedimage',
            index=models.Index(fields=['created_at'], name='uploaded_newest'),
        ),
        migrations.AddIndex(
            model_name='uploadedimage',
            index=models.Index(condition=models.Q(('user__isnull', False)), fields=['user'], name='uploaded_of_user'),
        ),
    ]
