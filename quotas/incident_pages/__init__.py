"""Pages and API of incidents and of the policy that says what is one."""
