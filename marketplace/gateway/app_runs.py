"""Running an app by its own input: a hosted prompt app here, an HTTP app at its creator's endpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import partial
from time import monotonic
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from marketplace.catalog import endpoint_contracts, outputs
from marketplace.catalog.models import App
from marketplace.catalog.outputs import Output
from marketplace.catalog.prompts import PASSAGES, places_passages, render, validate_input
from marketplace.core.json import encode
from marketplace.gateway import books, kept_calls, requests
from marketplace.gateway.admitted import Admission
from marketplace.gateway.directory import AppFacts
from marketplace.gateway.http_apps import DEFAULT_TIMEOUT_S, AppAnswer, AppUnavailable
from marketplace.gateway.pipeline import FindCaller, Gateway, Served
from marketplace.gateway.providers.base import Completion, ProviderBadResponse
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.retrieval import calls as retrieval
from marketplace.gateway.retrieval.choosing import Passages
from marketplace.gateway.router import AUTO
from metering.ingest import Usage
from metering.rating import Quantities

RETRY_PAUSES_S = (0.2, 0.8)
MOST_PATIENCE_S = 1


@dataclass(frozen=True, slots=True)
class AppRun:
    """The output of an app and what the call came to.

    ``problems`` says where the output does not fit what the app promises; the call was delivered all the same.
    """

    output: Any
    served: Served
    problems: tuple[str, ...] = ()
    passages: Passages | None = None
    shows_sources: bool = False

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The passages of its documents that the app had; none when its maker does not show them."""
        return (
            [one.as_source for one in self.passages.sources] if self.passages and self.shows_sources else []
        )


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


_completion = msgspec.json.Decoder(_Completion)


KeepAnswer = Callable[[dict[str, Any], bytes], Awaitable[None]]
"""Writes down what a call used and what came back, before it is settled."""


async def run(
    gateway: Gateway,
    find: FindCaller,
    *,
    data: Any,
    feature: str = "",
    intent: str = "",
    call_id: UUID | None = None,
    no_store: bool = False,
    keep: KeepAnswer | None = None,
) -> AppRun:
    """Run an app once. Raises InvalidInput naming the input, and what admission and providers raise.

    With ``keep``, what came back is kept before it is settled; where that fails nothing is charged.
    """
    caller = await find()
    validate_input(caller.app.input_schema, data)
    if caller.app.kind == App.Kind.HTTP:
        return await _run_http(gateway, find, data, call_id, keep)
    retrieved = await retrieval.find(gateway, find, caller.app, data)
    passages = retrieved.passages if retrieved else None
    served, completion = await gateway.complete(
        find,
        lambda c: changed(
            request_for(c.app, data, feature=feature, passages=passages),
            no_store=no_store,
            intent=intent,
            is_packable=c.app.saving.is_batchable,
        ),
        call_id=call_id,
        keep=None if keep is None else partial(_keep_completion, keep),
    )
    if retrieved is not None:
        served = changed(served, cost=served.cost + retrieved.cost)
        retrieval.count_later(gateway, served.admission.caller.app, retrieved.passages)
    app = served.admission.caller.app
    read = partial(output_of, app, completion.body)
    # Holding an answer against its schema may take a moment, which other calls should not wait for.
    output = read() if app.output_format == "text" else await gateway.in_turn(read)
    return AppRun(output.value, served, output.problems, passages, app.shows_sources)


async def _keep_completion(keep: KeepAnswer, _: UUID, model: str, completion: Completion) -> None:
    await keep(kept_calls.used_of(model, completion), completion.body)


def output_of(app: AppFacts, body: bytes) -> Output:
    """Read the output of an app out of what came back. Raises ProviderBadResponse."""
    if app.kind == App.Kind.HTTP:
        return _held(app, msgspec.json.decode(body))
    try:
        choices = _completion.decode(body).choices
    except msgspec.DecodeError as error:
        raise ProviderBadResponse("", "sent an answer that is not what was agreed") from error
    answer = choices[0].message.content or ""
    return outputs.read(answer, output_format=app.output_format, schema=app.output_schema)


def request_for(
    app: AppFacts, data: Mapping[str, Any], *, feature: str = "", passages: Passages | None = None
) -> ModelRequest:
    """Build the model request of a hosted app for an input; raises InvalidInput when the prompt cannot be filled."""
    text = _filled(app.prompt_template, data, passages)
    if wanted := outputs.instruction(app.output_format, app.output_schema):
        text = f"{text}\n\n{wanted}"
    fields = {"model": AUTO, "messages": [{"role": "user", "content": text}], "temperature": 0}
    if response_format := outputs.response_format(app.output_format, app.output_schema):
        fields["response_format"] = response_format
    request = requests.chat(fields, app=app, feature=feature)
    return changed(request, tags=passages.tags) if passages else request


def _filled(template: str, data: Mapping[str, Any], passages: Passages | None) -> str:
    """Fill a prompt; passages that it has no place for follow it."""
    found = passages.text if passages else ""
    text = render(template, {**data, PASSAGES: found})
    return text if not found or places_passages(template) else f"{text}\n\n{found}"


async def _run_http(
    gateway: Gateway,
    find: FindCaller,
    data: dict[str, Any],
    call_id: UUID | None,
    keep: KeepAnswer | None,
) -> AppRun:
    admission, _ = await gateway.admit(find, lambda _: None, call_id=call_id)
    app = admission.caller.app
    try:
        answer = await _call_endpoint(gateway, app, data, request_id=str(admission.id))
        usage = await _told_usage(gateway, admission, answer)
        if keep is not None:
            await keep(kept_calls.used_elsewhere(usage), answer.body)
    except BaseException:
        await gateway.release(admission)
        raise
    served = await gateway.settle_app_call(admission, usage)
    output = await gateway.in_turn(partial(_held, app, answer.output))
    return AppRun(output.value, served, output.problems)


async def _told_usage(gateway: Gateway, admission: Admission, answer: AppAnswer) -> Usage:
    usage = replace(admission.usage, latency_ms=answer.latency_ms)
    if answer.usage is None:
        return usage
    book = await gateway.offers(admission.caller.epoch)
    reported = answer.usage.usage
    # A model nobody has a price for would make the call free; it is then counted as a call without tokens.
    if answer.usage.model not in book.known:
        return usage
    return replace(
        usage,
        model=answer.usage.model or "",
        quantities=Quantities(
            input_tokens=reported.input_tokens,
            output_tokens=reported.output_tokens,
            cached_input_tokens=reported.cached_input_tokens,
            cache_write_tokens=reported.cache_write_tokens,
            reasoning_tokens=reported.reasoning_tokens,
        ),
    )


async def _call_endpoint(gateway: Gateway, app: AppFacts, data: Any, *, request_id: str) -> AppAnswer:
    """Call an endpoint, and again a moment later if it certainly did nothing: nobody was reached, or it said so.

    All attempts go under one hold and one request id and share the time of one call, so whatever happens is charged
    at most once, and an endpoint can tell that it is the same call.
    """
    body, until = encode({"input": data}).encode(), monotonic() + DEFAULT_TIMEOUT_S
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            return await gateway.apps.call(
                app.endpoint_url,
                body,
                secret=app.signing_secret.encode(),
                request_id=request_id,
                at=books.now(),
                timeout_s=max(until - monotonic(), 0.1),
            )
        except AppUnavailable as error:
            is_long = error.app_status is not None and error.retry_after_s > MOST_PATIENCE_S
            if error.was_maybe_run or is_long or pause_s is None or monotonic() + pause_s >= until:
                raise
        await asyncio.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def _held(app: AppFacts, answer: Any) -> Output:
    """Hold an endpoint's answer against its contract, and its output against the app's schema."""
    broken = endpoint_contracts.misfits(app.endpoint_contract, endpoint_url=app.endpoint_url, body=answer)
    value = answer["output"] if isinstance(answer, dict) and set(answer) == {"output"} else answer
    output = outputs.hold(value, output_format=app.output_format, schema=app.output_schema)
    return Output(output.value, (*(f"contract: {reason}" for reason in broken), *output.problems))


def answer_of(run: AppRun) -> dict[str, Any]:
    """Return a run as the API tells it."""
    used = run.served.usage
    usage = {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
    }
    problems = {"problems": list(run.problems)} if run.problems else {}
    return {
        "output": run.output,
        **problems,
        **beside_of(run),
        "usage": usage,
        "cost": run.served.headers["x-halfpenny-cost"],
        "model": run.served.model,
        "request_id": str(run.served.admission.id),
    }


def beside_of(run: AppRun) -> dict[str, Any]:
    """Return what a run with documents answers beside its output."""
    sources = {"sources": run.sources} if run.sources else {}
    return sources | ({"tokens_saved": run.passages.tokens_saved} if run.passages else {})
