"""Questions to usage that are kept: views with a name, and reports that are mailed."""
