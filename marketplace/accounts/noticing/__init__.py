"""Pages and API of notices: what one was told, and how it reaches one."""
