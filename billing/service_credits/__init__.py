"""What apps promise of their service, how each month went, and what a missed promise gives back."""
