"""The HTTP surface every service shares: one app factory, the probes, and one form of error answer."""

from funnel.http.app import Api, Readiness, create_app
from funnel.http.problems import (
    PROBLEM_MEDIA_TYPE,
    PROBLEM_SCHEMA,
    FieldError,
    HttpProblem,
    problem,
    problem_body,
    problem_type,
)

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "PROBLEM_SCHEMA",
    "Api",
    "FieldError",
    "HttpProblem",
    "Readiness",
    "create_app",
    "problem",
    "problem_body",
    "problem_type",
]
