"""Rating usage anew after a price was wrong: proposed, worked out, decided by a second person, written by a job."""
