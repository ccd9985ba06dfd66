from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0003_learned_photos'),
    ]

    operations = [
        migrations.AddField(
            model_name='loadedversion',
            name='unloaded_at',
            field=models.DateTimeField(help_text='Since when it rests: nobody asked, and the next request loads it again.', null=True),
        ),
    ]
