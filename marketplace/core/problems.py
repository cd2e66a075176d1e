"""Where domain errors become answers: problem details (RFC 9457) in the API, a plain page for people."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput, NotAllowed, NotFound, Unavailable
from marketplace.core.json import encode

PROBLEM_TYPE = "application/problem+json"


def status_of(error: HalfpennyError) -> int:
    """Map a family of errors to its HTTP status."""
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, InvalidInput):
        return 400
    if isinstance(error, NotAllowed):
        return 403
    if isinstance(error, Conflict):
        return 409
    if isinstance(error, Unavailable):
        return 503
    return 500


def problem(
    status: int, *, code: str, detail: str, errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Build the body of a problem: type, title, status, detail, code and the errors per field."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors:
        body["errors"] = errors
    return body


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every anticipated error of the management API as problem details."""
    if isinstance(error, HalfpennyError):
        return _domain_problem(error)
    response = drf_handler(error, context)
    if response is None:
        return None
    errors = _field_errors(response.data) if isinstance(error, exceptions.ValidationError) else None
    detail = (
        "; ".join(f"{e['field']}: {e['message']}" for e in errors) if errors else _detail(error, response)
    )
    code = "invalid" if errors else _code(error)
    response.data = problem(response.status_code, code=code, detail=detail, errors=errors)
    response.content_type = PROBLEM_TYPE
    return response


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Answer a path of the management API that does not exist as all its errors are answered."""
    body = problem(404, code=NotFound.code, detail=f"There is nothing at {request.path}.")
    return HttpResponse(encode(body), status=404, content_type=PROBLEM_TYPE)


def _domain_problem(error: HalfpennyError) -> Response:
    status = status_of(error)
    errors = None
    if isinstance(error, InvalidInput):
        errors = [
            {
                "field": e.field,
                "message": e.message,
                "code": e.code,
                **({"limit": e.limit} if e.limit else {}),
            }
            for e in error.errors
        ]
    response = Response(
        problem(status, code=error.code, detail=error.message, errors=errors),
        status=status,
        content_type=PROBLEM_TYPE,
    )
    if isinstance(error, Unavailable) and error.retry_after_s:
        response["Retry-After"] = str(error.retry_after_s)
    return response


def _code(error: Exception) -> str:
    # What DRF answers for Django's own exceptions reads like our own of the same meaning.
    if isinstance(error, Http404):
        return NotFound.code
    if isinstance(error, PermissionDenied):
        return NotAllowed.code
    return str(getattr(error, "default_code", "error"))


def _detail(error: Exception, response: Response) -> str:
    if isinstance(error, Http404):
        return "There is nothing here."
    if isinstance(response.data, dict) and "detail" in response.data:
        return str(response.data["detail"])
    return str(error)


def _field_errors(data: Any, prefix: str = "") -> list[dict[str, Any]]:
    """Flatten what a serializer found to a list of field paths and messages."""
    if isinstance(data, dict):
        found = []
        for name, value in data.items():
            path = prefix if name == "non_field_errors" else f"{prefix}.{name}" if prefix else name
            found += _field_errors(value, path)
        return found
    if isinstance(data, list):
        found = []
        for index, value in enumerate(data):
            path = f"{prefix}[{index}]" if isinstance(value, dict | list) else prefix
            found += _field_errors(value, path)
        return found
    return [{"field": prefix, "message": str(data), "code": getattr(data, "code", "invalid")}]


class DomainErrorMiddleware:
    """Pages: what a person asked for and the domain refused is said in words, where they were.

    A refused form post goes back to its page with a message; anything else gets the page of its status.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, NotFound):
            raise Http404(error.message) from error
        if isinstance(error, NotAllowed):
            raise PermissionDenied(error.message) from error
        if not isinstance(error, HalfpennyError):
            return None
        back = request.headers.get("Referer", "")
        is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
        if request.method == "POST" and is_ours:
            messages.error(request, error.message)
            return redirect(back)
        return render(request, "400.html", {"message": error.message}, status=status_of(error))
