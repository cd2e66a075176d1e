"""A Stripe that is not there: it stands behind the SDK's HTTP client in the demo and in tests, and moves no money.

It keeps its things in tables, so that web and worker see the same world. What the tests found it to share with Stripe's
test mode is what the domain relies on; it is no reference of Stripe.
"""
