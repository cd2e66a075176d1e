"""Pages and API of prices. What they decide is decided by ``metering.proposals``."""
