"""Running an app by its own input: a hosted prompt app here, an HTTP app at its creator's endpoint."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from marketplace.catalog.models import App
from marketplace.catalog.prompts import render, validate_input
from marketplace.core.json import encode
from marketplace.gateway import books, requests
from marketplace.gateway.directory import Caller
from marketplace.gateway.pipeline import FindCaller, Gateway, Served
from marketplace.gateway.providers.base import ProviderBadResponse
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import AUTO
from metering.rating import Quantities


@dataclass(frozen=True, slots=True)
class AppRun:
    """The output of an app and what the call came to."""

    output: Any
    served: Served


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


_completion = msgspec.json.Decoder(_Completion)


async def run(
    gateway: Gateway, find: FindCaller, *, data: Any, feature: str = "", call_id: UUID | None = None
) -> AppRun:
    """Run an app once. Raises InvalidInput naming the input, and what admission and providers raise."""
    caller = await find()
    validate_input(caller.app.input_schema, data)
    if caller.app.kind == App.Kind.HTTP:
        return await _run_http(gateway, find, data, call_id)
    served, completion = await gateway.complete(find, lambda c: _prompt(c, data, feature), call_id=call_id)
    try:
        choices = _completion.decode(completion.body).choices
    except msgspec.DecodeError as error:
        raise ProviderBadResponse("", "sent an answer that is not what was agreed") from error
    return AppRun(choices[0].message.content or "", served)


def _prompt(caller: Caller, data: dict[str, Any], feature: str) -> ModelRequest:
    text = render(caller.app.prompt_template, data)
    fields = {"model": AUTO, "messages": [{"role": "user", "content": text}], "temperature": 0}
    return requests.chat(fields, app=caller.app, feature=feature)


async def _run_http(gateway: Gateway, find: FindCaller, data: dict[str, Any], call_id: UUID | None) -> AppRun:
    admission, _ = await gateway.admit(find, lambda _: None, call_id=call_id)
    app = admission.caller.app
    try:
        answer = await gateway.apps.call(
            app.endpoint_url,
            encode({"input": data}).encode(),
            secret=app.signing_secret.encode(),
            request_id=str(admission.id),
            at=books.now(),
        )
    except BaseException:
        await gateway.release(admission)
        raise
    usage = replace(admission.usage, latency_ms=answer.latency_ms)
    if answer.usage is not None:
        book = await gateway.offers(admission.caller.epoch)
        reported = answer.usage.usage
        # A model nobody has a price for would make the call free; it is then counted as a call without tokens.
        if answer.usage.model in book.known:
            usage = replace(
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
    served = await gateway.settle_app_call(admission, usage)
    output = answer.output
    if isinstance(output, dict) and set(output) == {"output"}:
        output = output["output"]
    return AppRun(output, served)


def answer_of(run: AppRun) -> dict[str, Any]:
    """Return a run as the API tells it."""
    used = run.served.usage
    usage = {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
    }
    return {
        "output": run.output,
        "usage": usage,
        "cost": run.served.headers["x-halfpenny-cost"],
        "model": run.served.model,
        "request_id": str(run.served.admission.id),
    }
