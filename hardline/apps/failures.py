"""What an application raises is its programmer's news: an event like any other, with where it was raised."""

from __future__ import annotations

import logging

SILENT = logging.Logger("uvicorn", logging.CRITICAL + 1)  # it tells strangers' malformed requests, and all twice

_logger = logging.getLogger("hardline")


def tell(service: str, failure: BaseException) -> None:
    """An application raised `failure`; handlers that show tracebacks get it."""
    fields = {"service": service, "reason": repr(failure)[:500]}
    _logger.warning("app.failed", exc_info=failure, extra={"fields": fields})
