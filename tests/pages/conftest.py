from tests.broker import broker  # noqa: F401
from tests.recognition import fresh_process, fruit, fruit_rows, tiny_folder, tiny_store  # noqa: F401
