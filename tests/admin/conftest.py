from tests.broker import broker  # noqa: F401
from tests.recognition import fresh_process, fruit_rows  # noqa: F401
