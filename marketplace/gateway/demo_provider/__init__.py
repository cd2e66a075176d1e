"""A model provider for the demo world and the tests: three protocols, answers made of the input, no model.

Run it with ``python -m marketplace.gateway.demo_provider --port 8801``. The same request always gets the same
text, the same token counts (``marketplace.gateway.tokens``, exactly) and the same latency. It names itself in
every answer, by ``"system_fingerprint": "halfpenny-demo-provider"`` and the header ``x-provider:
halfpenny-demo``.

- ``POST /v1/chat/completions``: whole or streamed; tools, JSON schemas, n, stop, token limits, reasoning_effort
- ``POST /v1/messages``: the same in Anthropic's words, with a cache of marked beginnings
- ``POST /v1beta/models/<model>:generateContent``, ``:streamGenerateContent``, ``:batchEmbedContents``: in Gemini's
- ``POST /v1/embeddings``: hashed bags of words, so texts with common words are near each other
- ``GET /v1/models``, ``GET /v1beta/models``: llm-1b, llm-3b, llm-8b, llm-70b, llm-400b, embed-small
- ``POST /apps/restaurant-finder``: a creator's endpoint, ``{"city", "cuisine"}`` -> suggestions
- ``POST /apps/fx-convert``: a creator's endpoint, ``{"amount", "from", "to"}`` -> converted amount
- ``POST /hooks/notices``: takes what a channel of notices sends, and says which id it got
- ``GET /healthz``; ``GET /stats``: how many requests came, by path, and how many callers left early

Failures on demand, by the request header ``x-demo-fault: <fault>`` or by ``[[demo:<fault>]]`` in the body:

- ``429``, ``429:<seconds>``: rate limited, with Retry-After (1 unless given)
- ``500``, ``503``: server error, overloaded
- ``slow:<ms>``: so much later
- ``hang``: no answer until the caller leaves
- ``half-stream``: the connection is cut in the middle of the answer; ``half-stream:<n>``: after n events
- ``stall``, ``stall:<n>``: nothing more comes after n events, and the connection stays
- ``reset``: the connection is broken off before any answer
- ``no-usage``: an answer without usage
- ``wrong-usage``: ten times the output tokens that were sent
- ``bad-json``: an answer, or an event in the middle of the stream, that cannot be read
- ``cached:<n>``: n of the input tokens are reported as cached
- ``huge``, ``redirect``: apps only; more than 2 MiB, a redirect to a private address
- ``once:<fault>``: only the first time this very body comes
"""
