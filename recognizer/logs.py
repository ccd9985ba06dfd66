"""How a log line looks: one line, time first, key=value after the event."""

import logging

import structlog

SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso"),
]
CLIENT_FAULTS = {
    f"django.security.{error}"
    for error in ("DisallowedHost", "TooManyFilesSent", "TooManyFieldsSent", "RequestDataTooBig")
}


def is_news(record: logging.LogRecord) -> bool:
    """False for lines that say nothing new: a probe that was answered, and Django's echo of a logged response."""
    if record.name == "django.request":
        return bool(record.exc_info)
    return "GET /readyz" not in record.getMessage()


def is_calmed(record: logging.LogRecord) -> bool:
    """Let what a client did wrong pass as one warning: Django logs it as an error of ours, with a traceback."""
    if record.name in CLIENT_FAULTS and record.levelno == logging.ERROR:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
    return True


def formatter() -> logging.Formatter:
    """The formatter of every handler; also routes structlog's own loggers through logging."""
    structlog.configure(
        # First what drops a line: the two of every request, which nobody sees by default, cost as much as a query.
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Plain, since the other formatters print local variables: passwords, keys, whole uploads.
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
    )
