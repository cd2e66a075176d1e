"""What creators are owed, and how they are paid: held, released, paid out, and shown month by month."""
