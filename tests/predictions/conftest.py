from tests.broker import broker, hung_broker  # noqa: F401
from tests.recognition import fresh_process, fruit, fruit_rows, tiny_folder, tiny_store  # noqa: F401
from tests.trial_rows import candidate, mixed_up_folder  # noqa: F401
