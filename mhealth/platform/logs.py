"""Logs as data: time, level, event, request id. Never names, mail addresses or what a person said."""

import traceback

import structlog
from structlog.typing import EventDict

OURS = ("mhealth", "interventions", "emotion", "recommender")


def drop_requests(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Django attaches the request to its records; its address may hold a token."""
    event.pop("request", None)
    return event


def place_of_fault(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Classes and places of a fault and its causes. Messages are left out: they may hold what a person said."""
    exc_info = event.pop("exc_info", None)
    fault = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(fault, BaseException):
        event["fault"] = " < ".join(_places(fault))
    return event


def _places(fault: BaseException) -> list[str]:
    """One line for the fault and for each of its causes."""
    lines = []
    while fault:
        frames = traceback.extract_tb(fault.__traceback__)
        ours = [f for f in frames if any(f"/{package}/" in f.filename for package in OURS)] or frames[-1:]
        where = " ".join(f"{'/'.join(f.filename.split('/')[-2:])}:{f.lineno}" for f in ours)
        lines.append(f"{type(fault).__name__} at {where}")
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    return lines


_SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def formatter(**_config: object) -> structlog.stdlib.ProcessorFormatter:
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            drop_requests,
            place_of_fault,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        ],
    )
