"""Runs of apps whose callers do not wait: asked for, made by a job, looked at, canceled, made again, forgotten."""
