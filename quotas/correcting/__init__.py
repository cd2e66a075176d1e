"""Pages and API of correcting an event. What they do is done by ``quotas.corrections``."""
