from tests.broker import broker  # noqa: F401
from tests.recognition import fresh_process  # noqa: F401
