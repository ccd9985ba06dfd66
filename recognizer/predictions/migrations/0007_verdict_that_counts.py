from django.conf import settings
from django.db import migrations, models
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import NullIf


def copy_verdicts(apps, schema_editor):
    """Write beside each reviewed recognition the verdict of its newest review, unless that one takes it back."""
    Prediction = apps.get_model('predictions', 'Prediction')
    Review = apps.get_model('predictions', 'Review')
    newest = Review.objects.filter(prediction=OuterRef('pk')).order_by('-pk').values('verdict')[:1]
    reviewed = Prediction.objects.filter(pk__in=Review.objects.order_by().values('prediction'))
    reviewed.update(verdict=NullIf(Subquery(newest), Value('withdrawn')))


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0006_pages_of_a_million'),
        ('registry', '0003_learned_photos'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='prediction',
            name='verdict',
            field=models.CharField(editable=False, help_text='Of the review that counts. Empty: there is none.', max_length=10, null=True),
        ),
        migrations.RunPython(copy_verdicts, migrations.RunPython.noop, elidable=True),
        migrations.RemoveIndex(
            model_name='prediction',
            name='prediction_by_label',
        ),
        migrations.AddIndex(
            model_name='prediction',
            index=models.Index(fields=['label', '-created_at', 'score'], name='prediction_by_label'),
        ),
        migrations.AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('score__isnull', False)), fields=['model', 'label', '-created_at'], name='prediction_by_model_and_label'),
        ),
        migrations.AddIndex(
            model_name='prediction',
            index=models.Index(condition=models.Q(('verdict__isnull', False)), fields=['verdict', '-created_at', '-id'], name='prediction_by_verdict'),
        ),
    ]
