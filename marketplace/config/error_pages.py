"""What is answered when a request fails outside of any view: a page for people, problem details below /api/.

Views of the management API answer for themselves (`marketplace.core.problems`); this is for addresses that do not
exist, surprises, and forms that waited too long.
"""

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from marketplace.core.problems import PROBLEM_TYPE, problem

API = "/api/"
CODES = {400: "bad_request", 403: "not_allowed", 404: "not_found", 500: "internal"}
DETAILS = {
    400: "The request could not be understood.",
    403: "You may not do that.",
    404: "There is nothing here.",
    500: "Something broke here and was written down. Nothing that was confirmed is lost.",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what cannot be read, such as a host that is not ours."""
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what somebody may not do; the domain says why."""
    return _answer(request, 403, message=str(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that does not exist, or whose thing is not for this person."""
    return _answer(request, 404)


def broken(request: HttpRequest) -> HttpResponse:
    """Answer a surprise, with the number under which it stands in the log."""
    try:
        return _answer(request, 500)
    except Exception:  # the process edge: what broke may be what every page needs, such as the database
        return render(None, "500.html", {"request_id": _request_id()}, status=500)


def form_too_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token is missing or another's: usually the page was open for too long."""
    return _answer(request, 403, template="403_csrf.html")


def _answer(request: HttpRequest, status: int, *, message: str = "", template: str = "") -> HttpResponse:
    if request.path.startswith(API):
        body = problem(status, code=CODES[status], detail=message or DETAILS[status])
        return JsonResponse(body, status=status, content_type=PROBLEM_TYPE)
    context = {"message": message, "request_id": _request_id() if status == 500 else ""}
    return render(request, template or f"{status}.html", context, status=status)


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
